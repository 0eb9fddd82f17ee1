"""Check of the exercise on attention rollout.

Axis letters: L layers, H heads, T tokens, N patches, S patches along a side.
"""

from __future__ import annotations

from functools import partial, reduce

import torch
from torch import Tensor

from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, normal
from course_utils.exercises.patch_cutting import Change, same_tensor
from course_utils.exercises.variants import SmallComparison, variants


def _cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(65))

    def case(layers: int, heads: int, side: int) -> Inputs:
        tokens = 1 + side * side
        return ((2 * rand(layers, heads, tokens, tokens)).softmax(-1),)

    return [case(2, 2, 2), case(3, 4, 3), case(1, 3, 2), case(4, 1, 2), case(5, 2, 1)]


# ---- known mistakes: one rollout with parts to exchange


def _square(shares: Tensor) -> Tensor:
    side = int(len(shares) ** 0.5)
    return shares.unflatten(0, (side, side))


def _eye(layers: Tensor) -> Tensor:
    return torch.eye(layers.shape[-1], dtype=layers.dtype, device="cpu")


def _half(layers: Tensor) -> Tensor:
    return (layers + _eye(layers)) / 2


def _follow(layers: Tensor) -> Tensor:
    """The later layer stands on the left."""
    return reduce(lambda found, layer: layer @ found, layers)


def _rollout(
    attentions: Tensor,
    *,
    heads: Change = lambda x: x.mean(1),
    stay: Change = _half,
    follow: Change = _follow,
    after: Change = same_tensor,
    token: Change = lambda found: found[0],
    patches: Change = lambda shares: shares[1:],
    scale: Change = same_tensor,
    lay: Change = _square,
) -> Tensor:
    """The right map, but for the parts that are given.

    `stay` adds what a block leaves as it is, `after` works on the product of all layers.
    """
    found = after(follow(stay(heads(attentions))))
    return lay(scale(patches(token(found))))


def _rows_to_one(x: Tensor) -> Tensor:
    return x / x.sum(-1, keepdim=True)


_MISTAKES = variants(
    _rollout,
    (
        "nothing stays where it is: a block adds what it found to what was there. What do you add "
        "to the weights of a layer?",
        {"stay": same_tensor},
    ),
    (
        "your rows sum to 2 before you multiply: half of each layer's way is the token itself, "
        "half is attention. By what do you divide?",
        {"stay": lambda x: x + _eye(x)},
    ),
    (
        "you halve the attention, but add the whole token: over what does the 2 stand?",
        {"stay": lambda x: x / 2 + _eye(x)},
    ),
    (
        "you halve the token, but add the whole attention: over what does the 2 stand?",
        {"stay": lambda x: x + _eye(x) / 2},
    ),
    (
        "you add 1 to every weight: a token stays in its own place only. Which matrix has ones "
        "there and zeros elsewhere?",
        {"stay": lambda x: (x + 1) / 2},
        {"stay": lambda x: x + 1},
        {"stay": lambda x: _rows_to_one(x + 1)},
    ),
    (
        "the token itself is added once, after all layers: each block adds it. Where does the eye "
        "belong?",
        {"stay": same_tensor, "after": _half},
    ),
    (
        "the weights are multiplied number by number: what a token got from another one has come "
        "to that one from a third. Which operator sums over the tokens between?",
        {"follow": lambda x: x.prod(0)},
    ),
    (
        "the layers are multiplied in the wrong order: the last vector is that of the last layer. "
        "On which side does a later layer stand?",
        {"follow": lambda x: reduce(torch.matmul, x)},
    ),
    (
        "only the last layer is there: its tokens hold something of all patches already. Where do "
        "they have it from?",
        {"follow": lambda x: x[-1]},
    ),
    (
        "only the first layer is there: what do the others do with what it found?",
        {"follow": lambda x: x[0]},
    ),
    (
        "the first layer is left out: where does your loop begin?",
        {"follow": lambda x: _follow(torch.cat([_eye(x)[None], x[1:]]))},
    ),
    (
        "the last layer is left out: where does your loop end?",
        {"follow": lambda x: _follow(torch.cat([_eye(x)[None], x[:-1]]))},
    ),
    (
        "the first layer is there twice: what do you begin with, and where does your loop begin?",
        {"follow": lambda x: _follow(x) @ x[0]},
    ),
    (
        "this is the mean of the layers: the second one reads what the first one made. Which "
        "operation puts one step after another?",
        {"follow": lambda x: x.mean(0)},
    ),
    (
        "this is the sum of the layers: the second one reads what the first one made. Which "
        "operation puts one step after another?",
        {"follow": lambda x: x.sum(0)},
    ),
    (
        "you take the largest of the heads: which one of mean and maximum does the exercise ask "
        "for?",
        {"heads": lambda x: x.amax(1)},
        {"heads": lambda x: _rows_to_one(x.amax(1))},
        {"heads": lambda x: x.amax(1), "stay": lambda x: _rows_to_one(x + _eye(x))},
    ),
    (
        "you take the smallest of the heads: which one of mean and minimum does the exercise ask "
        "for?",
        {"heads": lambda x: x.amin(1)},
        {"heads": lambda x: _rows_to_one(x.amin(1))},
    ),
    (
        "you take the sum of the heads: then a row sums to H. By what do you divide?",
        {"heads": lambda x: x.sum(1)},
    ),
    (
        "only one head is there: what do you do with the others?",
        {"heads": lambda x: x[:, 0]},
        {"heads": lambda x: x[:, -1]},
    ),
    (
        "each head is followed for itself, and the mean comes last: after a layer all heads are "
        "put together. When do you take the mean?",
        {"heads": same_tensor, "after": lambda x: x.mean(0)},
    ),
    (
        "you take column 0, what the class token gave to the others: in a row are the tokens that "
        "are looked at. Which index is the first, who looks or who is looked at?",
        {"token": lambda found: found[:, 0]},
    ),
    (
        "your map is the mean over all tokens: which one does the classifier read?",
        {"token": lambda found: found.mean(0)},
        {"token": lambda found: found[1:].mean(0)},
    ),
    (
        "your map is that of another token: which row is the class token's?",
        {"token": lambda found: found[-1]},
        {"token": lambda found: found[1]},
    ),
    (
        "your map holds the class token's own share, and the last patch is missing: which column "
        "is no patch?",
        {"patches": lambda shares: shares[:-1]},
    ),
    (
        "your shares are made to sum to 1: a part of the class token is still itself, and that is "
        "a result as well. Which line goes?",
        {"scale": lambda shares: shares / shares.sum()},
    ),
    (
        "your shares are divided by the largest: that is for a picture. Which line goes?",
        {"scale": lambda shares: shares / shares.max()},
        {"scale": lambda shares: (shares - shares.min()) / (shares.max() - shares.min())},
    ),
    (
        "your shares are in percent: of what does 1 mean all?",
        {"scale": lambda shares: 100 * shares},
    ),
    (
        "your map lies on its side: the patches go row by row. Which one is to the right of the "
        "first?",
        {"lay": lambda shares: _square(shares).mT},
    ),
    (
        "your map is upside down: in which row is the first patch?",
        {"lay": lambda shares: _square(shares).flip(0)},
    ),
    (
        "your map is a row of N numbers: how many patches lie along a side?",
        {"lay": same_tensor},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    (attentions,), got, right = inputs, outputs[0], expected[0]
    if got.shape != right.shape:
        return (
            f"your map has the shape {tuple(got.shape)}, expected {tuple(right.shape)}, S S, for "
            f"weights {tuple(attentions.shape)}, L H T T: how many of the T tokens are patches?"
        )
    if got.isnan().any():
        return "your map holds NaN: where do you divide by zero, or take inf from inf?"
    return (
        f"for weights {tuple(attentions.shape)}, L H T T, your map sums to {float(got.sum()):.4g}, "
        f"expected {float(right.sum()):.4g}, and begins with {float(got[0, 0]):.4g}, expected "
        f"{float(right[0, 0]):.4g}. Do the rows of each layer's matrix sum to 1 in yours?"
    )


ROLLOUT = Exercise(
    name="06.5",
    title="Attention rollout",
    judge=SmallComparison(
        parameters=("attentions",),
        outputs={"map": "S S"},
        solution=solutions.rollout,
        cases=_cases,
        diagnose=_diagnose,
        tips=(
            (
                r"invalid for input of size|unflatten",
                "a map has S times S patches, without the class token: which number of the row is "
                "not a patch's?",
            ),
            (
                r"size of tensor|mat1|must match|batch",
                "a layer's matrix is T T once the heads are averaged: which axes has yours?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
