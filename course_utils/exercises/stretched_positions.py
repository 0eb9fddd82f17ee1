"""Check of the exercise on positions for pictures of another size.

Axis letters: T tokens, N patches, D width, S patches along a side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, normal
from course_utils.exercises.patch_cutting import Change, same_tensor
from course_utils.exercises.variants import SmallComparison, variants

Size = tuple[int, int]


def _cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(64))
    return [
        (rand(17, 4), 3, 3),  # smaller, so that even the first 9 positions are enough
        (rand(10, 9), 5, 5),
        (rand(10, 6), 4, 7),
        (rand(5, 3), 6, 1),
        (rand(17, 5), 4, 4),  # nothing to stretch
        (rand(2, 2), 2, 3),  # one patch
        (rand(26, 2), 2, 3),
    ]


# ---- known mistakes: one interpolation with parts to exchange


def _grid(table: Tensor) -> Tensor:
    side = int(len(table) ** 0.5)
    return table.T.unflatten(1, (side, side))[None]


def _mixed_grid(table: Tensor) -> Tensor:
    side = int(len(table) ** 0.5)
    return table.reshape(1, -1, side, side)


def _way(**options: object) -> Callable[[Tensor, Size], Tensor]:
    return lambda grid, size: F.interpolate(grid, size=size, **options)


_bicubic = _way(mode="bicubic")


def _stretch(
    positions: Tensor,
    rows: int,
    columns: int,
    *,
    part: Callable[[Tensor], tuple[Tensor, Tensor]] = lambda x: (x[:1], x[1:]),
    lay: Change = _grid,
    size: Callable[[int, int], Size] = lambda rows, columns: (rows, columns),
    how: Callable[[Tensor, Size], Tensor] = _bicubic,
    back: Change = lambda grid: grid[0].flatten(1).T,
    join: Callable[[Tensor, Tensor], Tensor] = lambda token, table: torch.cat([token, table]),
) -> Tensor:
    """The right positions, but for the parts that are given.

    `part` gives the class token and the patches, `lay` makes 1 D S S, `back` makes N D.
    """
    token, table = part(positions)
    return join(token, back(how(lay(table), size(rows, columns))))


def _along_the_row(mode: str) -> Callable[[Tensor, Size], Tensor]:
    """All patches in one row of N."""
    return lambda grid, size: F.interpolate(grid.flatten(2), size=size[0] * size[1], mode=mode)


def _over_table(grid: Tensor, size: Size) -> Tensor:
    """The table N D as a picture."""
    table = grid.flatten(2).mT[None]  # 1 1 N D
    new = size[0] * size[1], grid.shape[1]
    return F.interpolate(table, size=new, mode="bicubic")[0].mT


def _again_and_again(grid: Tensor, size: Size) -> Tensor:
    """The picture's positions, repeated beside each other."""
    times = [-(-new // old) for new, old in zip(size, grid.shape[2:], strict=True)]
    return grid.repeat(1, 1, *times)[..., : size[0], : size[1]]


_MISTAKES = variants(
    _stretch,
    (
        "you take the first positions of the table: those are the upper rows of the old picture. "
        "Where should the last patch of the new one lie?",
        {"how": lambda grid, size: grid.flatten(2)[..., : size[0] * size[1]]},
    ),
    (
        "you cut out a corner of the old picture: the new one shows the whole scene with other "
        "patches. Which function stretches a grid?",
        {"how": lambda grid, size: grid[..., : size[0], : size[1]]},
    ),
    (
        "the old positions are repeated beside each other: then two places have the same one. "
        "Which function stretches a grid?",
        {"how": _again_and_again},
    ),
    (
        "the positions are stretched along one row of N patches: the one below is a neighbour, "
        "too. How do you lay N patches as S times S?",
        {"how": _along_the_row("linear")},
        {"how": _along_the_row("nearest")},
    ),
    (
        "the table N D itself is stretched like a picture: numbers of a vector are not neighbours, "
        "and patches have neighbours above and below. Which axis of 1 D S S does interpolate leave "
        "alone?",
        {"how": _over_table},
    ),
    (
        "nothing is stretched: where do rows and columns come in?",
        {"how": lambda grid, size: grid},
    ),
    (
        "your interpolation is bilinear: which mode does the exercise ask for?",
        {"how": _way(mode="bilinear")},
    ),
    (
        "you take the nearest old position: then neighbours share one. Which mode does the "
        "exercise ask for?",
        {"how": _way(mode="nearest")},
        {"how": _way(mode="nearest-exact")},
    ),
    (
        "your interpolation takes means over areas: which mode does the exercise ask for?",
        {"how": _way(mode="area")},
    ),
    (
        "the corners are laid on each other: with align_corners=True the middle of the first patch "
        "stays where it is. Which value belongs here?",
        {"how": _way(mode="bicubic", align_corners=True)},
        {"how": _way(mode="bilinear", align_corners=True)},
    ),
    (
        "antialias smooths what becomes smaller: the checkpoints' own code does without. Which "
        "option goes?",
        {"how": _way(mode="bicubic", antialias=True)},
        {"how": _way(mode="bilinear", antialias=True)},
    ),
    (
        "a reshape from N D to D S S mixes the numbers of several positions: which function "
        "exchanges two axes first?",
        {"lay": _mixed_grid},
    ),
    (
        "the old grid lies on its side: the patches go row by row. Which axis is the rows'?",
        {"lay": lambda table: _grid(table).mT},
    ),
    (
        "the new positions go down the columns: in which order do the patches come?",
        {"back": lambda grid: grid[0].mT.flatten(1).T},
    ),
    (
        "a reshape from D rows columns to N D mixes the numbers of several positions: which "
        "function exchanges two axes first?",
        {"back": lambda grid: grid[0].reshape(-1, grid.shape[1])},
    ),
    (
        "D and N have changed places at the end: which axis is first in the table?",
        {"back": lambda grid: grid[0].flatten(1), "join": lambda token, table: table},
    ),
    (
        "the result is still a grid: how does it become a table, T D?",
        {"back": same_tensor, "join": lambda token, table: table},
        {"back": lambda grid: grid[0], "join": lambda token, table: table},
        {"back": lambda grid: grid[0].permute(1, 2, 0), "join": lambda token, table: table},
    ),
    (
        "rows and columns have changed places: which one is the height in size=(..., ...)?",
        {"size": lambda rows, columns: (columns, rows)},
    ),
    (
        "the new grid is a square of yours: what do rows and columns say?",
        {"size": lambda rows, columns: (rows, rows)},
        {"size": lambda rows, columns: (columns, columns)},
    ),
    (
        "the class token's position is missing: it stands nowhere in the picture and keeps its "
        "vector. What do you put in front of the table?",
        {"join": lambda token, table: table},
    ),
    (
        "the class token's position stands at the end: where does the model look for it?",
        {"join": lambda token, table: torch.cat([table, token])},
    ),
    (
        "the class token has lost its position: it keeps its vector, and is not stretched. What is "
        "positions[:1]?",
        {"join": lambda token, table: torch.cat([torch.zeros_like(token), table])},
        {"join": lambda token, table: torch.cat([table.mean(0, keepdim=True), table])},
    ),
    (
        "the class token's position lies in the grid, as if it were the first patch: which row of "
        "the table is that of the first patch?",
        {"part": lambda x: (x[:1], x[:-1])},
        {"part": lambda x: (x[-1:], x[:-1])},
    ),
    (
        "the last row of the table comes in front: in which row is the class token?",
        {"part": lambda x: (x[-1:], x[1:])},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    (positions, rows, columns), got, right = inputs, outputs[0], expected[0]
    side = int((len(positions) - 1) ** 0.5)
    case = f"from {side} x {side} patches to {rows} x {columns}"
    if got.shape != right.shape:
        return (
            f"{case} your result has the shape {tuple(got.shape)}, expected {tuple(right.shape)}, "
            "T D: how many tokens has the new picture, with its class token?"
        )
    if got.isnan().any():
        return f"{case} your result holds NaN: do you fill all of the tensor that you make?"
    wrong = (got - right).abs().gt(1e-4 * right.abs() + 1e-5).any(1)
    if wrong[0]:
        return f"{case} the class token's row is wrong: should anything happen to it?"
    first = int(wrong.nonzero()[0]) - 1
    return (
        f"{case} {int(wrong.sum())} of {len(right)} rows are wrong; the first is that of the patch "
        f"in row {first // columns}, column {first % columns}. Which old patches lie around there?"
    )


STRETCH = Exercise(
    name="06.4",
    title="Positions for another size",
    judge=SmallComparison(
        parameters=("positions", "rows", "columns"),
        outputs={"positions": "T D"},
        solution=solutions.stretch,
        cases=_cases,
        diagnose=_diagnose,
        tips=(
            (
                r"Sizes of tensors|Tensors must have same number of dimensions",
                "torch.cat wants 1 D and N D: which shape has each of the two?",
            ),
            (
                r"Got \dD input|\d-?D inputs?|input dimension|spatial dimension|dimensions",
                "interpolate wants a batch, channels and a grid, 1 D S S for bicubic: which axes "
                "has your tensor, and do you know x[None]?",
            ),
            (
                r"invalid for input of size|unflatten",
                "N patches are S times S, without the class token: what is S here?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
