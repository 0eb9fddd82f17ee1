"""Check of the exercise on attention with several heads.

The right answer with its parts to exchange is used for the decoder's layer too.

Axis letters: B batch, H heads, Tq, Tk number of queries and keys, D model width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Comparison, Inputs, key_mask, normal
from course_utils.exercises.dot_product import MASKS, NO_SOFTMAX, dot_product, pair_mask, scales
from course_utils.exercises.random_layers import drawn_once, projections
from course_utils.exercises.variants import two_at_once, variants


@drawn_once
def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(23)
    rand = partial(normal, generator)
    # Equal axes first, and nothing hidden, so that nearly every answer runs and shows what it does.
    sizes = [(4, 4, 4, 32, 4), (4, 4, 4, 32, 4), (3, 2, 5, 12, 2), (1, 3, 3, 6, 1), (2, 3, 4, 6, 6)]
    masks = [
        torch.ones(4, 4, 4, dtype=torch.bool, device="cpu"),
        pair_mask(generator, 4, 4, 4),
        key_mask(5, 2, 3),
        pair_mask(generator, 1, 3, 3),
        key_mask(4, 1),
    ]
    return [
        (rand(b, tq, d), rand(b, tk, d), rand(b, tk, d), projections(rand, d), heads, mask)
        for (b, tq, tk, d, heads), mask in zip(sizes, masks, strict=True)
    ]


# ---- the right answer, with parts to exchange


def split(x: Tensor, num_heads: int) -> Tensor:
    """B T D -> B H T D/H."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def join(x: Tensor) -> Tensor:
    """B H T D/H -> B T D."""
    return x.transpose(1, 2).flatten(2)


def cut(x: Tensor, num_heads: int) -> Tensor:
    """B T D -> B H T D/H, wrong: a head gets pieces of several positions."""
    return x.reshape(len(x), num_heads, x.shape[1], -1)


def paste(x: Tensor) -> Tensor:
    """B H T D/H -> B T D, wrong: a position gets pieces of several."""
    return x.reshape(len(x), x.shape[2], -1)


def multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layers: Any,
    num_heads: int,
    mask: Tensor,
    *,
    split: Callable = split,
    join: Callable = join,
    widen: Callable = lambda mask: mask[:, None],
    project: Callable = lambda n: n,
    exchange: Callable = lambda q, k, v: (q, k, v),
    last: bool = True,
    heads: Callable = lambda h: h,
    **parts: Any,
) -> Tensor:
    """Several heads; `parts` go to `dot_product`.

    `widen` gives the mask the axis of the heads, `project` says which layer takes another's
    place, `exchange` makes other heads of the three, `last` is the output layer.
    """
    inputs = {"query": query, "key": key, "value": value}
    width = heads(num_heads)
    three = [split(getattr(layers, project(n))(x), width) for n, x in inputs.items()]
    mixed = join(dot_product(*exchange(*three), widen(mask), **parts)[0])
    return layers.output(mixed) if last else mixed


def _over(dim: int) -> tuple[dict, dict]:
    return {"over": dim}, {"over": dim, "fill": -1e9}


def _swap(one: str, other: str) -> Callable:
    return lambda name: {one: other, other: one}.get(name, name)


CUT = (
    "the heads are split by view or reshape alone: a head gets pieces of several words. The axis "
    "D is cut into H and D/H, and then two axes change places. Where is your transpose?"
)
PASTE = (
    "the heads are put together without transposing back: a word gets pieces of several words. "
    "Which two axes change places before you reshape?"
)
# Hints on the heads that the decoder's layer shares.
HEADS = (
    (CUT, {"split": cut, "join": paste}, {"split": cut}),
    (PASTE, {"join": paste}),
    (
        "the width is cut the wrong way: each head takes every H-th column. The first D/H columns "
        "are the first head's. Which of the two comes first in your view, H or D/H?",
        {
            "split": lambda x, h: x.unflatten(-1, (-1, h)).permute(0, 3, 1, 2),
        },
        {
            "split": lambda x, h: x.unflatten(-1, (-1, h)).permute(0, 3, 1, 2),
            "join": lambda x: x.permute(0, 2, 3, 1).flatten(2),
        },
    ),
    (
        "you divide by the root of D, the width of the whole model: a score here is a sum over "
        "the D/H numbers of one head. How wide are your queries after the split?",
        {"scale": lambda q, k, v: (q.shape[1] * q.shape[-1]) ** -0.5},
    ),
    *scales("D/H")[:-1],
    (
        "you divide by the root of H, the number of heads, or by that of the number of keys: a "
        "score is a sum over the D/H numbers of one head. Which size is that?",
        {"scale": lambda q, k, v: q.shape[1] ** -0.5},
        {"scale": lambda q, k, v: k.shape[-2] ** -0.5},
    ),
    (
        "the softmax runs over the queries: the scores are B H Tq Tk, and each query shares out "
        "its weight among the keys. Which axis is that?",
        *_over(-2),
    ),
    (
        "the softmax runs over the heads: the scores are B H Tq Tk, and each head shares out its "
        "own weight among the keys. Which axis is that?",
        *_over(1),
    ),
    (
        "the softmax runs over the batch: sentences must not touch. Which axis are the keys?",
        *_over(0),
    ),
    (NO_SOFTMAX, {"softmax": lambda s: s}),
    (
        "the output layer is forgotten: the heads lie side by side and know nothing of each "
        "other. What does the fourth layer take?",
        {"last": False},
    ),
)

_MISTAKES = variants(
    multi_head,
    *HEADS,
    *MASKS,
    (
        "your mask hides different keys from different heads: B Tq Tk beside scores B H Tq Tk is "
        "taken for H Tq Tk. On which place does the mask need an axis of length 1?",
        {"widen": lambda mask: mask[None] if mask.ndim == 3 else mask},
    ),
    (
        "the mask's axis of heads stands on the wrong place: you hide keys by the number of the "
        "query, or of the head. The scores are B H Tq Tk; which axis of the mask is new?",
        {"widen": lambda mask: mask.unsqueeze(2)},
        {"widen": lambda mask: mask.unsqueeze(3)},
        {"widen": lambda mask: mask.mT[:, None]},
    ),
    (
        "keys and values are exchanged: the weights must weigh the values, and the scores compare "
        "with the keys. Which input goes through which layer?",
        {"exchange": lambda q, k, v: (q, v, k)},
        {"project": _swap("key", "value")},
        {"project": _swap("key", "value"), "exchange": lambda q, k, v: (q, v, k)},
    ),
    (
        "queries and keys are exchanged: row i of the scores must be query i. "
        "Which input goes through which layer, and which of the two is transposed?",
        {"project": _swap("query", "key")},
        {"exchange": lambda q, k, v: (k, q, v)},
    ),
    (
        "one layer makes all three, the query's: which layers are for keys and values?",
        {"project": lambda name: "query"},
    ),
    (
        "values and queries have exchanged their layers: which layer makes the values?",
        {"project": _swap("query", "value")},
    ),
    (
        "num_heads is not used: this is one head as wide as the model. "
        "Into how many parts is the width cut?",
        {"heads": lambda h: 1},
    ),
    (
        "num_heads is taken for the width of a head: there are D/H heads in your answer. "
        "Which of the two numbers counts heads?",
        {"split": lambda x, h: x.unflatten(-1, (-1, h)).transpose(1, 2)},
    ),
    (
        "the heads are averaged: they are put side by side, H times D/H numbers, and the output "
        "layer mixes them. Which axis did you take the mean over?",
        {"join": lambda x: x.mean(1), "last": False},
        {"join": lambda x: x.mean(1).repeat(1, 1, x.shape[1])},
        {"join": lambda x: x.mean(1, keepdim=True).expand_as(x).transpose(1, 2).flatten(2)},
    ),
    (
        "the heads are added up: they are put side by side, H times D/H numbers, and the output "
        "layer mixes them. Which axis did you sum over?",
        {"join": lambda x: x.sum(1), "last": False},
        {"join": lambda x: x.sum(1).repeat(1, 1, x.shape[1])},
    ),
    (
        "the heads come back apart, B H T D/H: what puts them side by side again?",
        {"join": lambda x: x, "last": False},
        {"join": lambda x: x.transpose(1, 2), "last": False},
    ),
)

LAYER_TIP = (
    r"no attribute|not subscriptable|not callable",
    "layers holds the layers by name, as in layers.query(x): is the name misspelt?",
)
_TIPS = (
    LAYER_TIP,
    (
        r"mat1 and mat2",
        "each layer takes and gives D numbers: are the heads side by side again before the last "
        "one, H times D/H, not averaged and not apart?",
    ),
    (
        r"size of tensor|expand|broadcast|shape of the mask",
        "the scores are B H Tq Tk, the mask B Tq Tk or B 1 Tk: which axis does the mask lack?",
    ),
    (r"view size", "after a transpose view needs contiguous memory: do you know reshape?"),
)

MULTI_HEAD = Exercise(
    name="02.3",
    title="Several heads",
    judge=Comparison(
        parameters=("query", "key", "value", "layers", "num_heads", "mask"),
        outputs={"output": "B Tq D"},
        solution=solutions.multi_head,
        cases=_cases,
        diagnose=two_at_once(_MISTAKES),
        tips=_TIPS,
    ),
    mistakes=_MISTAKES,
)
