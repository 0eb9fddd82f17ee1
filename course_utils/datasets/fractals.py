"""Fractals: pictures that a formula draws, with labels, for pre-training without any photograph.

A few maps that shrink the plane (an iterated function system) have one shape that they map onto
itself. A point that jumps along, each time by one of the maps drawn at random, draws this shape:
the chaos game. Each class is a system of its own, drawn at random once and for all; the pictures of
a class come from small changes of its numbers. In colours, each map paints with a colour drawn for
the picture alone, over a smooth background: colours say nothing about the class.

Sources: Barnsley 1988, Fractals Everywhere (the chaos game); Kataoka et al. 2020, Pre-training
without Natural Images (FractalDB: systems as classes, those that cover too little left out, changes
of the numbers by up to 20 %); Anderson and Farrell 2022, Improving Fractal Pre-training (maps are
drawn by their singular values, so that all of them shrink; colours and backgrounds).

Axis letters: K systems (classes), M maps of a system, N pictures, P points.
"""

from __future__ import annotations

import functools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from course_utils.datasets.labelled_pictures import Pictures

LEAST_MAPS, MOST_MAPS = 2, 6
# Largest singular value of a map. Changed by 20 %, it grows by 0.2 * sqrt(2) at most, below 1.
SHRINK = 0.75
COVERAGE = (0.2, 0.7)  # share of pixels that a class covers, on SKETCH x SKETCH
SKETCH = 32
WALKERS, WARM_UP = 128, 10  # points that jump at once, and jumps that are not drawn
DENSITY = 4  # points for each pixel
ROUND = 500  # pictures made at once


def draw_fractals(
    count: int,
    seed: int = 0,
    *,
    classes: int = 100,
    size: int = 16,
    channels: int = 1,
    change: float = 1.0,
) -> Pictures:
    """Draw pictures of fractals; the same seed gives the same pictures.

    Parameters
    ----------
    count : int
        N.
    seed : int
        Of the pictures; the classes are always the same ones.
    classes : int
        K; the first K of an endless row of systems, each drawn as often as the others.
    size : int
        Height and width.
    channels : int
        1: white on black. 3: colours.
    change : float
        0 to 1: how much the pictures of a class differ; 1 is up to 20 % of each number.

    Returns
    -------
    Pictures
        UInt8 "N channels size size". Each fractal is stretched over the whole picture.

    Raises
    ------
    ValueError
        When a number is out of range.

    Examples
    --------
    >>> pictures, labels = draw_fractals(5, classes=10)
    >>> pictures.shape, pictures.dtype, int(labels.max()) < 10
    (torch.Size([5, 1, 16, 16]), torch.uint8, True)
    """
    if count < 1 or classes < 1 or size < 2 or channels not in (1, 3) or not 0 <= change <= 1:
        raise ValueError(
            "count and classes are 1 or more, size 2 or more, channels 1 or 3, change 0 to 1: got "
            f"{count}, {classes}, {size}, {channels} and {change}"
        )
    maps, shares = _systems(classes)
    chance, parts = torch.Generator().manual_seed(seed), []
    labels = torch.randint(classes, (count,), generator=chance)
    for some in labels.split(ROUND):
        factors = torch.rand(*maps[some].shape, generator=chance) * 2 - 1
        changed = maps[some] * (1 + 0.2 * change * factors)
        points, last = chaos_game(changed, shares[some], DENSITY * size**2, generator=chance)
        ink, share = _ink(points, last, maps.shape[1], size)
        picture = ink[:, None] if channels == 1 else _painted(ink, share, chance)
        parts.append((picture * 255).round().to(torch.uint8))
    return Pictures(torch.cat(parts), labels)


def chaos_game(
    maps: Float[Tensor, "N M 2 3"],
    shares: Float[Tensor, "N M"],
    count: int,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "N P 2"], Int[Tensor, "N P"]]:
    """Points on the shapes of iterated function systems.

    Parameters
    ----------
    maps : Float "N M 2 3"
        Each a matrix and a shift, `[A | b]`: a point x jumps to A x + b.
    shares : Float "N M"
        How often each map is taken, in parts of their sum.
    count : int
        P, of each system.
    generator : torch.Generator, optional

    Returns
    -------
    points : Float "N P 2"
    last : Int "N P"
        The map that each point jumped by last.

    Raises
    ------
    ValueError
        When no point is asked for, or a system has no share above 0, or one below.

    Examples
    --------
    >>> thirds = [[[1 / 3, 0, 0], [0, 1, 0]], [[1 / 3, 0, 2 / 3], [0, 1, 0]]]  # Cantor's set
    >>> points, _ = chaos_game(torch.tensor([thirds]), torch.tensor([[0.5, 0.5]]), 300)
    >>> bool(((points[..., 0] > 1 / 3 + 1e-6) & (points[..., 0] < 2 / 3 - 1e-6)).any())
    False
    """
    if count < 1 or (shares < 0).any() or not (shares.sum(1) > 0).all():
        raise ValueError(
            "count is 1 or more, shares are 0 or more and one of each system is above 0: got "
            f"{count} and shares from {shares.min():g}, sums from {shares.sum(1).min():g}"
        )
    systems, walkers = len(maps), min(count, WALKERS)
    numbers = maps.flatten(2).permute(2, 0, 1).contiguous()  # N M 2 3 -> 6 N M
    bounds = shares.cumsum(1)
    bounds = bounds / bounds[:, -1:]  # the last is exactly 1: what has no share is never taken
    x = y = torch.zeros(systems, walkers)
    drawn, taken = [], []
    for jump in range(WARM_UP + math.ceil(count / walkers)):
        chosen = torch.rand(systems, walkers, generator=generator)
        chosen = torch.searchsorted(bounds, chosen)
        a, b, e, c, d, f = numbers.gather(2, chosen.expand(6, -1, -1))
        x, y = a * x + b * y + e, c * x + d * y + f
        if jump >= WARM_UP:
            drawn.append(torch.stack([x, y], dim=-1))
            taken.append(chosen)
    return torch.cat(drawn, 1)[:, :count], torch.cat(taken, 1)[:, :count]


@functools.cache
def _systems(classes: int) -> tuple[Float[Tensor, "K M 2 3"], Float[Tensor, "K M"]]:
    """The first classes: random systems of maps that shrink, whose shapes fill enough of a picture.

    The systems of fewer maps than others have maps that are never taken.
    """
    chance, found, at = torch.Generator().manual_seed(0), [], 0
    while at < classes:
        maps, shares = _random_systems(ROUND, chance)
        points, last = chaos_game(maps, shares, DENSITY * SKETCH**2, generator=chance)
        covered = (_ink(points, last, MOST_MAPS, SKETCH)[0] > 0).float().mean((1, 2))
        good = (covered > COVERAGE[0]) & (covered < COVERAGE[1])
        found.append((maps[good], shares[good]))
        at += int(good.sum())
    maps, shares = (torch.cat(part)[:classes] for part in zip(*found, strict=True))
    return maps, shares


def _random_systems(count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Maps from two turns and two singular values each, some of them mirrored; and their shares."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, MOST_MAPS, generator=chance)

    first, second = (_turns(uniform(-math.pi, math.pi)) for _ in range(2))
    long = uniform(0.2, SHRINK)
    stretch = torch.stack([long, long * uniform(0.2, 1.0) * uniform(-1.0, 1.0).sign()], dim=-1)
    matrices = first @ torch.diag_embed(stretch) @ second
    shifts = torch.stack([uniform(-1.0, 1.0), uniform(-1.0, 1.0)], dim=-1)
    number = torch.randint(LEAST_MAPS, MOST_MAPS + 1, (count, 1), generator=chance)
    # A map is taken as often as the area that it leaves is large: so points lie evenly.
    shares = stretch.prod(-1).abs() * (torch.arange(MOST_MAPS) < number)
    maps = torch.cat([matrices, shifts[..., None]], dim=-1)
    return maps, shares / shares.sum(1, keepdim=True)


def _turns(angle: Float[Tensor, "N M"]) -> Float[Tensor, "N M 2 2"]:
    rows = [angle.cos(), -angle.sin(), angle.sin(), angle.cos()]
    return torch.stack(rows, dim=-1).unflatten(-1, (2, 2))


def _ink(
    points: Float[Tensor, "N P 2"], last: Int[Tensor, "N P"], choices: int, size: int
) -> tuple[Float[Tensor, "N size size"], Float[Tensor, "N M size size"]]:
    """How dark each pixel is, 0 to 1, and each map's share in it."""
    low, high = points.amin(1, keepdim=True), points.amax(1, keepdim=True)
    place = ((points - low) / (high - low).clamp(min=1e-6) * size).long().clamp(max=size - 1)
    flat = (last * size + place[..., 1]) * size + place[..., 0]
    counts = torch.zeros(len(points), choices * size**2)
    counts.scatter_add_(1, flat, torch.ones(flat.shape))
    counts = counts.view(-1, choices, size, size)
    total = counts.sum(1)
    return (total / DENSITY).clamp(max=1), counts / total.clamp(min=1)[:, None]


def _painted(
    ink: Float[Tensor, "N size size"],
    share: Float[Tensor, "N M size size"],
    chance: torch.Generator,
) -> Float[Tensor, "N 3 size size"]:
    """Paint each map's part in a random colour, over a smooth random background."""
    colours = torch.rand(len(ink), share.shape[1], 3, generator=chance)
    paint = torch.einsum("nmyx,nmc->ncyx", share, colours)
    behind = torch.rand(len(ink), 3, 3, 3, generator=chance)
    behind = F.interpolate(behind, size=ink.shape[1:], mode="bilinear", align_corners=True)
    return behind.lerp(paint, ink[:, None])
