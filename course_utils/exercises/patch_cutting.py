"""Check of the exercise on cutting a picture into patches.

In the first case the picture has as many patches along a side as a patch has pixels, and as many
channels, so that a wrong answer runs and shows what it does.

Axis letters: C channels, Y and X height and width, N patches, P numbers in a patch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, normal
from course_utils.exercises.variants import SmallComparison, variants

Change = Callable[[Tensor], Tensor]


def same_tensor(x: Tensor) -> Tensor:
    """Nothing is changed."""
    return x


def _cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(61))
    return [
        (rand(2, 4, 4), 2),
        (rand(3, 4, 6), 2),
        (rand(1, 9, 6), 3),
        (rand(3, 4, 4), 4),  # one patch
        (rand(2, 3, 2), 1),  # a patch is a pixel
        (rand(3, 12, 8), 2),
    ]


# ---- known mistakes: one cut with parts to exchange


def _cut_grid(picture: Tensor, height: int, width: int) -> Tensor:
    """C Y X -> rows columns C height width."""
    rows = picture.unflatten(2, (-1, width)).unflatten(1, (-1, height))
    return rows.permute(1, 3, 0, 2, 4)


def _patches(
    picture: Tensor,
    patch_size: int,
    *,
    see: Change = same_tensor,
    cut: Callable[[Tensor, int], Tensor] = lambda picture, p: _cut_grid(picture, p, p),
    order: Change = lambda grid: grid.flatten(0, 1),
    flat: Change = lambda squares: squares.flatten(-3),
    last: Change = same_tensor,
) -> Tensor:
    """The right patches, but for the parts that are given."""
    return last(flat(order(cut(see(picture), patch_size))))


def _reshape_only(picture: Tensor, p: int) -> Tensor:
    return picture.reshape(1, -1, len(picture), p, p)


def _unfold_only(picture: Tensor, p: int) -> Tensor:
    return _reshape_only(picture.unfold(1, p, p).unfold(2, p, p), p)


def _every_other(picture: Tensor, p: int) -> Tensor:
    rows = picture.unflatten(2, (p, -1)).unflatten(1, (p, -1))
    return rows.permute(2, 4, 0, 1, 3)


def _step_between_pixels(picture: Tensor, p: int) -> Tensor:
    rows = picture.unflatten(2, (-1, p)).unflatten(1, (-1, p))
    return rows.permute(2, 4, 0, 1, 3)


_MISTAKES = variants(
    _patches,
    (
        "this is a reshape of the whole picture: its numbers lie row by row, so P of them in a row "
        "are a stripe and no square. Which two axes do you have to split first?",
        {"cut": _reshape_only},
    ),
    (
        "the patches are cut, but then the channels' axis stands in front of them: a reshape takes "
        "P numbers of one channel, from several patches. Which axes does permute bring together?",
        {"cut": _unfold_only},
    ),
    (
        "the patches overlap: how far is it from one corner to the next?",
        {"cut": lambda picture, p: picture.unfold(1, p, 1).unfold(2, p, 1).permute(1, 2, 0, 3, 4)},
    ),
    (
        "patch_size is not the number of patches along a side: it is the side of a patch in "
        "pixels. How many patches are there then?",
        {"cut": lambda picture, p: _cut_grid(picture, *(side // p for side in picture.shape[1:]))},
    ),
    (
        "a patch of yours is made of pixels from all over the picture: which pixels lie next to "
        "each other?",
        {"cut": _every_other},
        {"cut": _step_between_pixels},
    ),
    (
        "your patches are stripes as wide as the picture: where do you cut from left to right?",
        {"cut": lambda picture, p: _cut_grid(picture, p, picture.shape[2])},
    ),
    (
        "your patches are stripes as high as the picture: where do you cut from top to bottom?",
        {"cut": lambda picture, p: _cut_grid(picture, picture.shape[1], p)},
    ),
    (
        "the patches go down the columns of the picture: which of the two loops is the inner one?",
        {"order": lambda grid: grid.transpose(0, 1).flatten(0, 1)},
    ),
    (
        "only the patches on the diagonal are there: zip takes two steps at a time. Do you know "
        "two loops, one inside the other?",
        {"order": lambda grid: grid.diagonal(0, 0, 1).movedim(-1, 0)},
    ),
    (
        "only one patch came back: does your return stand inside the loop?",
        {"order": lambda grid: grid.flatten(0, 1)[:1]},
    ),
    (
        "the last patches of each row and column are missing: where does range end?",
        {"order": lambda grid: grid[:-1, :-1].flatten(0, 1)},
    ),
    (
        "the patches still lie in rows and columns: the result has two axes, N P. Which two become "
        "one?",
        {"order": same_tensor},
    ),
    (
        "height and width have changed places: the picture is C Y X. Which axis do you cut first?",
        {"see": lambda picture: picture.mT},
    ),
    (
        "only the first channel is there: how many numbers has a patch of a picture with C "
        "channels?",
        {"see": lambda picture: picture[:1]},
    ),
    (
        "the channels are averaged: a patch keeps the numbers of each. How long is a row of the "
        "result?",
        {"see": lambda picture: picture.mean(0, keepdim=True)},
    ),
    (
        "the channels stand in the opposite order: which one comes first in the picture?",
        {"see": lambda picture: picture.flip(0)},
    ),
    (
        "your first patch is at the bottom of the picture: where is row 0 of a picture?",
        {"see": lambda picture: picture.unflatten(1, (1, -1)).flip(2).flatten(1, 2)},
        {"order": lambda grid: grid.flip(0).flatten(0, 1)},
    ),
    (
        "inside a patch you go pixel by pixel, all channels of one pixel together: the exercise "
        "goes channel by channel, as weights of a convolution do. Which axis changes slowest?",
        {"flat": lambda squares: squares.movedim(-3, -1).flatten(-3)},
    ),
    (
        "inside a patch you go column by column: which of its two axes changes slower?",
        {"flat": lambda squares: squares.mT.flatten(-3)},
    ),
    (
        "each channel is a patch of its own: one row holds all channels of one square. How long is "
        "it?",
        {"flat": lambda squares: squares.flatten(-2).flatten(0, -2)},
        {"flat": lambda squares: squares.transpose(0, 1).flatten(-2).flatten(0, -2)},
    ),
    (
        "the patches are squares still, N C p p: which function makes one row of each?",
        {"flat": same_tensor},
    ),
    (
        "each patch has become its mean: the model reads all of its pixels. What do flatten and "
        "mean do?",
        {"flat": lambda squares: squares.mean((-2, -1))},
        {"flat": lambda squares: squares.mean((-3, -2, -1))[..., None]},
    ),
    (
        "your axes are P N, as torch.nn.functional.unfold gives them: which function exchanges two "
        "axes?",
        {"last": lambda x: x.mT},
    ),
    (
        "there is one axis too many in front: one picture came in, without a batch. Which index "
        "takes the first of one?",
        {"last": lambda x: x[None]},
    ),
    (
        "all patches are in one long row: where does one end and the next begin?",
        {"last": torch.flatten},
    ),
    (
        "the numbers are divided by 255: the patches hold the picture's own numbers. Which line "
        "goes?",
        {"last": lambda x: x / 255},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    (picture, p), got, right = inputs, outputs[0], expected[0]
    if got.shape != right.shape:
        (_, height, width), size = picture.shape, tuple(right.shape)
        return (
            f"your result has the shape {tuple(got.shape)}, expected {size}, N P: a picture of "
            f"{height} x {width} pixels has {height // p} times {width // p} patches of {p} x {p}. "
            "How many numbers are in one of them?"
        )
    wrong = [*map(int, (got != right).any(1).nonzero().flatten())]
    return (
        f"{len(wrong)} of {len(right)} patches are wrong. The first wrong one is patch {wrong[0]}, "
        f"of a picture {tuple(picture.shape)}, C Y X, and patches of {p} x {p}: in which row and "
        "column of the picture does it begin?"
    )


PATCHES = Exercise(
    name="06.1",
    title="Cut a picture into patches",
    judge=SmallComparison(
        parameters=("picture", "patch_size"),
        outputs={"patches": "N P"},
        solution=solutions.patches,
        cases=_cases,
        diagnose=_diagnose,
        tips=(
            (
                r"not enough values|too many values",
                "the picture has three axes, C Y X: how many names stand to the left of the =?",
            ),
            (
                r"invalid for input of size|unflatten",
                "a reshape keeps the number of numbers: N is Y / p times X / p, P is C times p "
                "times p. Which of the sizes is another one?",
            ),
            (
                r"equal size|Sizes of tensors|expected Tensor as element",
                "torch.stack wants a list of tensors of one shape: does each of your squares lie "
                "inside the picture?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
