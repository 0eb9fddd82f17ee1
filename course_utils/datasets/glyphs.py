"""Printed type: letters and digits in the fonts that matplotlib ships, warped as if drawn by hand.

A vision transformer learns little from few pictures, and these cost nothing: as many as one likes,
with labels, made on the spot. Each is a glyph in one of 21 faces; its stroke is made thicker or
thinner, it is sheared, turned, stretched, and bent smoothly. Then comes the recipe by which the
handwritten digits of scikit-learn were made: its box is fitted to 32 x 32 pixels, black or white,
and each block of 4 x 4 is counted.

Sources: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (the recipe); Simard et
al. 2003, Best Practices for Convolutional Neural Networks (smooth warps).

Axis letters: N pictures, Y and X height and width.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from course_utils.datasets.labelled_pictures import Pictures

GLYPHS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Faces with letters and digits, by the names of their files.
FACES = (
    "DejaVuSans*",
    "DejaVuSerif*",
    "STIXGeneral*",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
CANVAS, BOX = 56, 32  # pixels: where glyphs are warped; of the recipe
ROUND = 1_000  # pictures made at once


def faces() -> list[Path]:
    """The font files that are used, in a fixed order."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = {file for face in FACES for file in folder.glob(f"{face}.ttf")}
    return sorted(file for file in found if "Display" not in file.name)


def draw_glyphs(
    count: int, seed: int = 0, *, size: int = 8, glyphs: str = GLYPHS, warp: float = 1.0
) -> Pictures:
    """Draw pictures of printed type; the same seed gives the same pictures.

    Parameters
    ----------
    count : int
        N.
    seed : int
    size : int
        Height and width: 32 or a part of it. 8 is that of the handwritten digits.
    glyphs : str
        What is drawn, each as often as the others; a label is an index into it.
    warp : float
        How much glyphs are bent and turned: 0 is type as it is printed.

    Returns
    -------
    Pictures
        UInt8 "N 1 size size": the share of ink, 0 to 255. White on black, as the digits.

    Raises
    ------
    ValueError
        When a number is out of range, or a glyph is not among those known.

    Examples
    --------
    >>> pictures, labels = draw_glyphs(5, glyphs="0123456789")
    >>> pictures.shape, pictures.dtype
    (torch.Size([5, 1, 8, 8]), torch.uint8)
    """
    if count < 1 or warp < 0 or size < 1 or BOX % size:
        raise ValueError(
            f"count is 1 or more, warp is not below 0, and size divides {BOX}: got {count}, {warp} "
            f"and {size}"
        )
    if not glyphs or not set(glyphs) <= set(GLYPHS):
        raise ValueError(f"glyphs are some of {GLYPHS}, got {glyphs!r}")
    printed = _printed()[torch.tensor([GLYPHS.index(glyph) for glyph in glyphs])]
    chance, parts = torch.Generator().manual_seed(seed), []
    labels = torch.randint(len(glyphs), (count,), generator=chance)
    for some in labels.split(ROUND):
        face = torch.randint(printed.shape[1], (len(some),), generator=chance)
        ink = _warped(printed[some, face], warp, chance)
        boxed = fit_box(ink).float()[:, None]
        parts.append((F.avg_pool2d(boxed, BOX // size) * 255).round().to(torch.uint8))
    return Pictures(torch.cat(parts), labels)


def fit_box(ink: Bool[Tensor, "N Y X"]) -> Bool[Tensor, "N 32 32"]:
    """Fit what is drawn to 32 x 32: its larger side fills them, and it stands in the middle.

    Examples
    --------
    >>> ink = torch.zeros(1, 9, 9, dtype=torch.bool)
    >>> ink[0, 2:6, 3:5] = True  # 4 x 2
    >>> [int(x) for x in fit_box(ink)[0].any(0).nonzero()[[0, -1]]]  # half as wide as high
    [8, 23]
    """
    centre, half = [], []
    for axis in (2, 1):  # x, then y
        any_ink, length = ink.any(3 - axis), ink.shape[axis]
        first = any_ink.int().argmax(1)
        last = length - 1 - any_ink.flip(1).int().argmax(1)
        half.append((last - first + 1) / length)  # of the box, in units of half a side
        centre.append((first + last + 1) / length - 1)
    pixels = torch.tensor([ink.shape[2], ink.shape[1]])
    side = (torch.stack(half, 1) * pixels).amax(1, keepdim=True) / pixels  # a square, in pixels
    steps = (torch.arange(BOX) + 0.5) / BOX * 2 - 1
    x = centre[0][:, None] + side[:, :1] * steps
    y = centre[1][:, None] + side[:, 1:] * steps
    grid = torch.stack([x[:, None].expand(-1, BOX, -1), y[:, :, None].expand(-1, -1, BOX)], dim=-1)
    fitted = F.grid_sample(ink.float()[:, None], grid, align_corners=False)
    return fitted[:, 0] > 0.5


@functools.cache
def _printed() -> Float[Tensor, "glyphs faces Y X"]:
    """Every glyph in every face, in the middle of a canvas: the share of ink."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    found = torch.zeros(len(GLYPHS), len(faces()), CANVAS, CANVAS)
    for column, file in enumerate(faces()):
        font = ImageFont.truetype(str(file), 36)
        for row, glyph in enumerate(GLYPHS):
            picture = Image.new("L", (CANVAS, CANVAS))
            left, top, right, bottom = font.getbbox(glyph)
            corner = (CANVAS - left - right) / 2, (CANVAS - top - bottom) / 2
            ImageDraw.Draw(picture).text(corner, glyph, fill=255, font=font)
            found[row, column] = torch.from_numpy(np.array(picture)).float() / 255
    # The hairlines of type become strokes of a pen, which a warp does not break.
    thicker = F.max_pool2d(F.pad(found.flatten(0, 1)[:, None], (1, 0, 1, 0)), 2, 1)
    return (1.5 * thicker).clamp(max=1).view_as(found)


def _warped(
    printed: Float[Tensor, "N Y X"], warp: float, chance: torch.Generator
) -> Bool[Tensor, "N Y X"]:
    """Bend, turn and shear each glyph its own way, and draw it with its own pen."""
    count = len(printed)

    def spread(*shape: int, width: float = 1.0) -> Tensor:
        """Random numbers around 0."""
        return (torch.rand(count, *shape, generator=chance) * 2 - 1) * width * warp

    turn, shear = spread(width=0.26), spread(width=0.45)  # in radians; of the height
    stretch_x, stretch_y = (spread(width=0.25).exp() for _ in range(2))
    cosine, sine, none = turn.cos(), turn.sin(), torch.zeros(count)
    matrix = torch.stack(
        [
            torch.stack([cosine * stretch_x, (shear * cosine - sine) * stretch_y, none], 1),
            torch.stack([sine * stretch_x, (shear * sine + cosine) * stretch_y, none], 1),
        ],
        dim=1,
    )
    grid = F.affine_grid(1.05 * matrix, [count, 1, CANVAS, CANVAS], align_corners=False)
    bend = F.interpolate(spread(2, 4, 4, width=0.16), size=(CANVAS, CANVAS), mode="bicubic")
    moved = F.grid_sample(printed[:, None], grid + bend.permute(0, 2, 3, 1), align_corners=False)
    soft = F.avg_pool2d(F.avg_pool2d(moved, 3, 1, 1), 3, 1, 1)[:, 0]
    # A high threshold gives a thin stroke; that of a thin glyph is lower, or it would break.
    level = (0.55 + spread(width=0.25)) * soft.flatten(1).amax(1)
    return soft > level[:, None, None]
