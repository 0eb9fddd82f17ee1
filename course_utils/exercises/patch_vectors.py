"""Check of the exercise on what goes into the first block: patches, class token, positions.

In the first case there are as many patches as numbers in a vector, so that a wrong answer runs and
shows what it does.

Axis letters: B batch, C channels, Y and X height and width, p side of a patch, N patches, D width,
T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.embeddings import cut_patches
from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, normal
from course_utils.exercises.patch_cutting import Change, same_tensor
from course_utils.exercises.variants import SmallComparison, variants

Join = Callable[[Tensor, Tensor], Tensor]


def _cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(62))

    def case(b: int, c: int, y: int, x: int, p: int, d: int) -> Inputs:
        vectors = rand(d), rand(d), rand(1 + (y // p) * (x // p), d)
        return rand(b, c, y, x), 0.5 * rand(d, c, p, p), *vectors

    return [
        case(2, 2, 4, 4, 2, 4),
        case(3, 3, 4, 6, 2, 5),
        case(2, 1, 9, 3, 3, 7),
        case(1, 3, 4, 4, 4, 3),  # one patch
        case(2, 3, 2, 3, 1, 4),  # a patch is a pixel
    ]


# ---- known mistakes: one embedding with parts to exchange


def _in_front(x: Tensor, token: Tensor) -> Tensor:
    return torch.cat([token.expand(len(x), 1, -1), x], dim=1)


def _embed(
    pictures: Tensor,
    weight: Tensor,
    bias: Tensor,
    class_token: Tensor,
    positions: Tensor,
    *,
    see: Change = same_tensor,
    kernel: Change = same_tensor,
    shift: Join = lambda x, bias: x + bias[:, None, None],
    rows: Change = lambda x: x.flatten(2).mT,
    bend: Change = same_tensor,
    join: Join = _in_front,
    place: Join = lambda x, positions: x + positions,
) -> Tensor:
    """The right vectors, but for the parts that are given.

    `rows` makes B N D of B D Y/p X/p, `bend` works on the vectors of the patches alone.
    """
    seen, p = see(pictures), weight.shape[-1]
    x = kernel(weight).flatten(1) @ cut_patches(seen, p).mT  # B D N; a convolution starts slowly
    x = x.unflatten(2, (seen.shape[2] // p, -1))
    return place(join(bend(rows(shift(x, bias))), class_token), positions)


def _kernel_by_pixels(weight: Tensor) -> Tensor:
    """What flattened weights do to patches that are flattened pixel by pixel."""
    _, c, p, _ = weight.shape
    return weight.flatten(1).unflatten(1, (p, p, c)).permute(0, 3, 1, 2)


def _after_the_token(x: Tensor, positions: Tensor) -> Tensor:
    """Positions for the patches alone."""
    return torch.cat([x[:, :1], x[:, 1:] + positions], dim=1)


_NO_TOKEN = (
    "the class token is missing: the classifier reads its vector. What stands in front of the "
    "patches?"
)
_NEIGHBOUR = (
    "each patch gets the position of the one before it: position 0 is the class token's. Which row "
    "of positions is the first patch's?"
)

_MISTAKES = variants(
    _embed,
    (
        "the bias is forgotten: what does a linear layer add?",
        {"shift": lambda x, bias: x},
    ),
    (
        "the bias is added twice: the convolution has it already. Which line goes?",
        {"shift": lambda x, bias: x + 2 * bias[:, None, None]},
    ),
    (
        _NO_TOKEN,
        {"join": lambda x, token: x, "place": lambda x, positions: x + positions[1:]},
        {"join": lambda x, token: x, "place": lambda x, positions: x + positions[:-1]},
    ),
    (
        "the class token stands behind the patches: which one comes first in torch.cat?",
        {"join": lambda x, token: torch.cat([x, token.expand(len(x), 1, -1)], dim=1)},
    ),
    (
        "the class token is a row of zeros: it is learned, and came in as class_token. Where do "
        "you use it?",
        {"join": lambda x, token: _in_front(x, torch.zeros_like(token))},
    ),
    (
        "your first token is the mean of the patches: a model can do that at its end, in the place "
        "of a class token. What is in class_token?",
        {"join": lambda x, token: torch.cat([x.mean(1, keepdim=True), x], dim=1)},
    ),
    (
        "the class token is added to each patch: it is a token of its own. Which function puts "
        "tensors one after the other?",
        {
            "join": lambda x, token: x + token,
            "place": lambda x, positions: x + positions[1:],
        },
    ),
    (
        "the positions are forgotten: without them the model cannot tell where a patch lies. What "
        "is added at the end?",
        {"place": lambda x, positions: x},
    ),
    (
        "the class token has no position: positions has T rows, one for it as well. What comes "
        "first, torch.cat or the sum?",
        {"place": lambda x, positions: _after_the_token(x, positions[1:])},
    ),
    (
        _NEIGHBOUR,
        {"place": lambda x, positions: _after_the_token(x, positions[:-1])},
        {"place": lambda x, positions: x + positions.roll(1, 0)},
    ),
    (
        "all tokens get the same position: how many rows has positions?",
        {"place": lambda x, positions: x + positions[0]},
        {"place": lambda x, positions: x + positions[-1]},
    ),
    (
        "each picture of the batch gets a position of its own, and all its tokens the same: which "
        "axis of B T D do the rows of positions belong to?",
        {"place": lambda x, positions: x + positions[: len(x), None]},
    ),
    (
        "the positions are multiplied: they are added. Which operator is it?",
        {"place": lambda x, positions: x * positions},
    ),
    (
        "the positions are added twice: which line goes?",
        {"place": lambda x, positions: x + 2 * positions},
    ),
    (
        "the positions are subtracted: which sign is it?",
        {"place": lambda x, positions: x - positions},
    ),
    (
        "the positions stand beside the vectors: they are added, and D stays D. Which function do "
        "you not need here?",
        {"place": lambda x, positions: torch.cat([x, positions.expand_as(x)], dim=-1)},
    ),
    (
        "the patches go down the columns of the picture: which axis of B D Y/p X/p changes slower "
        "in a row of patches?",
        {"rows": lambda x: x.mT.flatten(2).mT},
    ),
    (
        "a reshape from B D N to B N D mixes the numbers of several patches: which function "
        "exchanges two axes?",
        {"rows": lambda x: x.reshape(len(x), -1, x.shape[1])},
    ),
    (
        "D and N have changed places: the convolution gives B D Y/p X/p, a transformer reads B N "
        "D. Which function exchanges two axes?",
        {"rows": lambda x: x.flatten(2)},
    ),
    (
        "height and width have changed places: which axis of the weights is which?",
        {"see": lambda pictures: pictures.mT},
    ),
    (
        "the rows and columns of each patch have changed places: how do you flatten the patches, "
        "and how the weights?",
        {"kernel": lambda weight: weight.mT},
    ),
    (
        "your weights are turned round: what deep learning calls a convolution does not flip its "
        "kernel. Which line goes?",
        {"kernel": lambda weight: weight.flip(2, 3)},
    ),
    (
        "your patches go pixel by pixel and the weights channel by channel: both must have the "
        "same order. Which one is C p p when it is flattened?",
        {"kernel": _kernel_by_pixels},
    ),
    (
        "the channels of the weights stand in the opposite order: which one is the picture's "
        "first?",
        {"kernel": lambda weight: weight.flip(1)},
    ),
    (
        "you take the mean over a patch: a linear layer gives the sum of weight times number. By "
        "what do you divide?",
        {"kernel": lambda weight: weight / weight[0].numel()},
    ),
    (
        "only the first channel counts: over which axes does the sum of a convolution run?",
        {"see": lambda x: torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], dim=1)},
    ),
    (
        "the channels are averaged first: each has weights of its own. Which line goes?",
        {"see": lambda x: x.mean(1, keepdim=True).expand_as(x)},
    ),
    (
        "all rows of the batch show the first picture: where do you take picture 0 only?",
        {"see": lambda x: x[:1].expand_as(x)},
    ),
    (
        "the patches' vectors are multiplied with the square root of D, as the first transformer "
        "does with its words: a ViT does not. Which factor goes?",
        {"bend": lambda x: x * x.shape[-1] ** 0.5},
    ),
    (
        "something bends the patches' vectors: here is a linear layer only. Which function goes?",
        {"bend": F.relu},
        {"bend": F.gelu},
        {"bend": torch.tanh},
    ),
    (
        "the patches' vectors are normed: a ViT does that inside its blocks. Which line goes?",
        {"bend": lambda x: F.layer_norm(x, x.shape[-1:])},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    got, right, weight = outputs[0], expected[0], inputs[1]
    if got.shape != right.shape:
        return (
            f"your result has the shape {tuple(got.shape)}, expected {tuple(right.shape)}, B T D. "
            f"The pictures are {tuple(inputs[0].shape)}, B C Y X, the weights "
            f"{tuple(weight.shape)}, D C p p: how many patches has a picture?"
        )
    if got.isnan().any():
        return "your result holds NaN: where do you divide by zero, or take inf from inf?"
    wrong = (got - right).abs().gt(1e-4 * right.abs() + 1e-5).any(-1).any(0).nonzero().flatten()
    names = ", ".join("the class token" if k == 0 else f"patch {k}" for k in wrong.tolist()[:4])
    return (
        f"wrong vectors: {names}{' and others' if len(wrong) > 4 else ''} (patches counted from 1, "
        f"of {len(right[0]) - 1}). What is added to the first of them, and in which order?"
    )


EMBED = Exercise(
    name="06.2",
    title="Patches, class token, positions",
    judge=SmallComparison(
        parameters=("pictures", "weight", "bias", "class_token", "positions"),
        outputs={"x": "B T D"},
        solution=solutions.embed,
        cases=_cases,
        diagnose=_diagnose,
        tips=(
            (
                r"size of tensor a|must match the size|Expected size",
                "T is 1 + N: does the stride of your convolution equal p, and does the class token "
                "stand in front of each picture's patches before you add positions?",
            ),
            (
                r"Sizes of tensors|number of dimensions|Dimension out of range",
                "torch.cat wants tensors that differ in one axis only: the patches are B N D, so "
                "the class token has to become B 1 D. Do you know expand?",
            ),
            (
                r"mat1 and mat2|shapes cannot be multiplied",
                "weight is D C p p and a flat patch has C times p times p numbers: which shape has "
                "weight.flatten(1)?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
