"""Checks of exercises on score functions: bilinear and additive.

The first case of each has axes of equal lengths, so that an answer that exchanges axes runs and
shows what it does.

Axis letters: B batch, Tq, Tk number of queries and keys, Dq, Dk, A widths of queries, keys and of
the tanh layer.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from course_utils.exercises import seq2seq_attention_solutions as solutions
from course_utils.exercises.checking import Exercise, Mistake
from course_utils.exercises.comparing import Comparison, Inputs, normal

# ---- 01.1 bilinear score


def _bilinear_cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(11))
    sizes = [(2, 4, 4, 3, 3), (3, 2, 5, 4, 3), (1, 1, 3, 2, 4)]
    return [(rand(b, tq, dq), rand(b, tk, dk), rand(dq, dk)) for b, tq, tk, dq, dk in sizes]


_TRANSPOSED = (
    "your scores are exchanged: rows are keys and columns are queries, B Tk Tq. "
    "Which axis of the result belongs to the query?"
)
_NOT_YET_SOFTMAX = (
    "your scores went through a softmax already: a score may be any number. "
    "Which function turns scores into weights, and is it part of this exercise?"
)
_DIAGONAL = (
    "query number i meets key number i only: every query meets every key. "
    "Which line makes a table of Tq times Tk numbers?"
)
_WRONG_QUERIES = "your keys are compared with themselves: where does the query come in?"
_WRONG_KEYS = "your queries are compared with themselves: where does the key come in?"
_SCALED = (
    "your scores are divided by the root of the width: the equation here has no such factor. "
    "Which score function has it?"
)

BILINEAR = Exercise(
    name="01.1",
    title="Bilinear score",
    judge=Comparison(
        parameters=("query", "key", "weight"),
        outputs={"scores": "B Tq Tk"},
        solution=solutions.bilinear_score,
        cases=_bilinear_cases,
    ),
    mistakes=(
        Mistake(_TRANSPOSED, lambda q, k, w: k @ w.T @ q.mT),
        Mistake(
            "W is forgotten: this is the plain dot product. Where does the weight come in?",
            lambda q, k, w: q @ k.mT,
        ),
        Mistake(
            "W is transposed: the query meets its first axis, Dq, the key its second, Dk. "
            "Which axis of W does your product sum over first?",
            lambda q, k, w: q @ w.T @ k.mT,
        ),
        Mistake(
            "query and key have changed places: you computed key W query. "
            "Which one stands on the left of W in the equation?",
            lambda q, k, w: k @ w @ q.mT,
        ),
        Mistake(_SCALED, lambda q, k, w: q @ w @ k.mT / math.sqrt(k.shape[-1])),
        Mistake(_SCALED, lambda q, k, w: q @ w @ k.mT / math.sqrt(q.shape[-1])),
        Mistake(_NOT_YET_SOFTMAX, lambda q, k, w: (q @ w @ k.mT).softmax(-1)),
        Mistake(_NOT_YET_SOFTMAX, lambda q, k, w: (q @ w @ k.mT).softmax(-2)),
        Mistake(_WRONG_QUERIES, lambda q, k, w: k @ w @ k.mT),
        Mistake(_WRONG_KEYS, lambda q, k, w: q @ w @ q.mT),
        Mistake(_DIAGONAL, lambda q, k, w: (q @ w * k).sum(-1)),
        Mistake(
            "the products are there, their sum is missing: you have one number per query, key "
            "and width. Over which axis does the dot product sum?",
            lambda q, k, w: (q @ w)[:, :, None] * k[:, None],
        ),
        Mistake(
            "there is a tanh too many: the bilinear score has none. Which score has one?",
            lambda q, k, w: torch.tanh(q @ w @ k.mT),
        ),
    ),
)


# ---- 01.2 additive score


def _additive_cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(12))
    sizes = [(2, 4, 4, 3, 3, 3), (3, 2, 5, 4, 3, 6), (1, 1, 3, 2, 4, 5)]
    return [
        (rand(b, tq, dq), rand(b, tk, dk), rand(a, dq), rand(a, dk), rand(a))
        for b, tq, tk, dq, dk, a in sizes
    ]


def _sums(q: Tensor, k: Tensor, wq: Tensor, wk: Tensor) -> Tensor:
    """W_q query + W_k key for all pairs, "B Tq Tk A"."""
    return (q @ wq.T)[:, :, None] + (k @ wk.T)[:, None]


_NO_W = (
    "w is forgotten: you add up the tanh layer instead of weighing it. "
    "Which number does w give to each of its A entries?"
)
_OTHER_CURVE = "another function stands where the tanh should be: which one is in the equation?"
_ONE_SIDE = "only one of query and key is in your scores: do you add both inside the tanh?"
_W_TRANSPOSED = (
    "{} is transposed: it has the shape A {}, and you sum over its first axis. "
    "Which of its axes fits the last axis of the {}?"
)

ADDITIVE = Exercise(
    name="01.2",
    title="Additive score",
    judge=Comparison(
        parameters=("query", "key", "w_query", "w_key", "w"),
        outputs={"scores": "B Tq Tk"},
        solution=solutions.additive_score,
        cases=_additive_cases,
    ),
    mistakes=(
        Mistake(_TRANSPOSED, lambda q, k, wq, wk, w: (torch.tanh(_sums(q, k, wq, wk)) @ w).mT),
        Mistake(
            "the tanh is missing: without it the query adds the same number to all its scores, "
            "and the softmax takes that away. What bends the sum before w weighs it?",
            lambda q, k, wq, wk, w: _sums(q, k, wq, wk) @ w,
        ),
        Mistake(
            "the tanh is outside: it comes before w, not after. What does it squash in the "
            "equation, a vector of A numbers or one score?",
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk) @ w),
        ),
        Mistake(
            "each part has its own tanh: the equation has one, around the sum. "
            "Do query and key meet before it or after it?",
            lambda q, k, wq, wk, w: (
                (torch.tanh(q @ wq.T)[:, :, None] + torch.tanh(k @ wk.T)[:, None]) @ w
            ),
        ),
        Mistake(
            "W_q and W_k have changed places: which of them reads the query?",
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wk, wq)) @ w,
        ),
        Mistake(
            "W_q and W_k are both transposed: they have the shapes A Dq and A Dk. "
            "Over which axis of each do you sum?",
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq.T, wk.T)) @ w,
        ),
        Mistake(
            _W_TRANSPOSED.format("W_q", "Dq", "query"),
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq.T, wk)) @ w,
        ),
        Mistake(
            _W_TRANSPOSED.format("W_k", "Dk", "key"),
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk.T)) @ w,
        ),
        Mistake(_NO_W, lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk)).sum(-1)),
        Mistake(_NO_W, lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk)).mean(-1)),
        Mistake(
            "you have a vector of A numbers for each pair, not a score: what makes one number of "
            "it?",
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk)),
        ),
        Mistake(
            "the vectors of A numbers are weighed by w, but not added up: over which axis does a "
            "dot product sum?",
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk)) * w,
        ),
        Mistake(_DIAGONAL, lambda q, k, wq, wk, w: torch.tanh(q @ wq.T + k @ wk.T) @ w),
        Mistake(
            "query and key are multiplied: what joins them in the equation?",
            lambda q, k, wq, wk, w: torch.tanh((q @ wq.T)[:, :, None] * (k @ wk.T)[:, None]) @ w,
        ),
        Mistake(_OTHER_CURVE, lambda q, k, wq, wk, w: torch.relu(_sums(q, k, wq, wk)) @ w),
        Mistake(_OTHER_CURVE, lambda q, k, wq, wk, w: torch.sigmoid(_sums(q, k, wq, wk)) @ w),
        Mistake(_ONE_SIDE, lambda q, k, wq, wk, w: torch.tanh(_sums(q, 0 * k, wq, wk)) @ w),
        Mistake(_ONE_SIDE, lambda q, k, wq, wk, w: torch.tanh(_sums(0 * q, k, wq, wk)) @ w),
        Mistake(
            _SCALED,
            lambda q, k, wq, wk, w: torch.tanh(_sums(q, k, wq, wk)) @ w / math.sqrt(len(w)),
        ),
        Mistake(
            _NOT_YET_SOFTMAX,
            lambda q, k, wq, wk, w: (torch.tanh(_sums(q, k, wq, wk)) @ w).softmax(-1),
        ),
    ),
)
