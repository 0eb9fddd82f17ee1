"""Check of the exercise on nucleus sampling.

No two tokens tie at the border of a nucleus. Where a sum is exactly p, all numbers are sums of
powers of two, so that no order of adding rounds.

Axis letters: V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, normal
from course_utils.exercises.variants import SmallComparison, variants


def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(43)
    given = partial(torch.tensor, device="cpu", dtype=torch.float32)
    large = (2 * normal(generator, 50)).softmax(0)
    return [
        (given([0.12, 0.3, 0.05, 0.25, 0.18, 0.1]), 0.7),
        (given([0.125, 0.5, 0.0625, 0.3125]), 0.8125),  # 0.5 + 0.3125, exactly
        (given([0.25, 0.0, 0.5, 0.125, 0.125]), 1.0),
        (given([1.0]), 0.3),
        (given([0.2, 0.1, 0.4, 0.3]), 0.25),
        (large, 0.6),
        (large.flip(0), 0.9),
    ]


# ---- known mistakes: one nucleus with parts to exchange


def _scattered(kept: Tensor, order: Tensor) -> Tensor:
    return torch.zeros_like(kept).scatter(0, order, kept)


def _first_as_well(keep: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """The most probable token stays in any case."""
    return lambda ordered, p: keep(ordered, p) | (torch.arange(len(ordered)) == 0)


def _nucleus(
    probabilities: Tensor,
    p: float,
    *,
    first: Callable[[Tensor], Tensor] = lambda x: x,
    order: Callable[[Tensor], Tensor] = lambda x: x.argsort(descending=True),
    keep: Callable[[Tensor, float], Tensor] = lambda x, p: x.cumsum(0) - x < p,
    place: Callable[[Tensor, Tensor], Tensor] = _scattered,
    normalise: Callable[[Tensor, float], Tensor] = lambda kept, p: kept / kept.sum(),
) -> Tensor:
    """The right nucleus, but for the parts that are given."""
    x = first(probabilities)
    index = order(x)
    return normalise(place(x[index] * keep(x[index], p), index), p)


def _least(share: Callable[[Tensor, float], float]) -> Callable[[Tensor, float], Tensor]:
    return _first_as_well(lambda ordered, p: ordered >= share(ordered, p))


_CROSSING = (
    "the token that crosses p is dropped: without it the sum is below p. Does the sum that you "
    "compare with p have the token itself in it, or only those before it?"
)
_NO_ORDER = (
    "your tokens are not sorted: the nucleus takes the most probable ones, whatever their places. "
    "What comes before cumsum?"
)
_THRESHOLD = (
    "you compare each probability alone with {}: p is a sum over tokens. Which function adds them "
    "up one after the other?"
)

_MISTAKES = variants(
    _nucleus,
    (
        _CROSSING,
        {"keep": lambda x, p: x.cumsum(0) <= p},
        {"keep": lambda x, p: x.cumsum(0) < p},
        {"keep": _first_as_well(lambda x, p: x.cumsum(0) <= p)},
        {"keep": _first_as_well(lambda x, p: x.cumsum(0) < p)},
    ),
    (
        "a sum of exactly p has reached p, here 0.5 + 0.3125 = 0.8125: no further token is needed. "
        "Is it < or <= in your comparison?",
        {"keep": lambda x, p: x.cumsum(0) - x <= p},
    ),
    (
        "there is one token too many: the one after that which crosses p. By how many places do "
        "you shift?",
        {"keep": lambda x, p: torch.cat([x[:1] * 0, (x.cumsum(0) - x)[:-1]]) < p},
    ),
    (
        "what is left does not sum to 1: the nucleus is a distribution again. What do you divide "
        "by?",
        {"normalise": lambda kept, p: kept},
    ),
    (
        "you divide by p, not by the sum of what is left, which is p or more: what do the numbers "
        "sum to?",
        {"normalise": lambda kept, p: kept / p},
    ),
    (
        "a softmax normalises logits, not probabilities: it makes likely and unlikely tokens more "
        "equal. By which number can you divide instead?",
        {"normalise": lambda kept, p: kept.softmax(0)},
        {"normalise": lambda kept, p: kept.masked_fill(kept == 0, -torch.inf).softmax(0)},
    ),
    (
        "your numbers are taken for logits: probabilities need no softmax. Which line goes?",
        {"first": lambda x: x.softmax(0)},
    ),
    (
        "the least probable tokens stay: in which direction do you sort?",
        {"order": lambda x: x.argsort()},
        {"keep": lambda x, p: x.cumsum(0) > p},
        {"keep": lambda x, p: x.cumsum(0) >= p},
        {"keep": lambda x, p: x.cumsum(0) - x >= p},
    ),
    (_NO_ORDER, {"order": lambda x: torch.arange(len(x))}),
    (
        "your result is in sorted order: entry i must belong to token i of the vocabulary. How "
        "do the numbers get back to their places?",
        {"place": lambda kept, order: kept},
    ),
    (
        "the numbers go back to the wrong places: kept[order] sorts again. Which side of the = "
        "should [order] stand on?",
        {"place": lambda kept, order: kept[order]},
    ),
    (
        "p is taken for what goes away: which share of the probability should stay?",
        {"keep": _first_as_well(lambda x, p: x.cumsum(0) - x < 1 - p)},
    ),
    (
        _THRESHOLD.format("p"),
        {"keep": lambda x, p: x >= p},
        {"keep": _least(lambda x, p: p)},
    ),
    (_THRESHOLD.format("1 - p"), {"keep": _least(lambda x, p: 1 - p)}),
    (
        "you keep what has at least p times the best probability: that is min-p. What does the "
        "nucleus add up?",
        {"keep": lambda x, p: x >= p * x.max()},
    ),
    (
        "you keep a share p of the tokens, not of the probability: that is top-k. What do you add "
        "up until it reaches p?",
        {"keep": _first_as_well(lambda x, p: torch.arange(len(x)) < round(p * len(x)))},
        {"keep": _first_as_well(lambda x, p: torch.arange(len(x)) < int(p * len(x)))},
        {"keep": lambda x, p: torch.arange(len(x)) < math.ceil(p * len(x))},
    ),
    (
        "nothing is left out: which tokens are outside the nucleus?",
        {"keep": lambda x, p: x >= 0},
    ),
    (
        "only the most probable token stays: that is greedy. Does its probability reach p?",
        {"keep": lambda x, p: torch.arange(len(x)) == 0},
    ),
    (
        "the tokens are right, but they all have the same probability: what do you normalise, the "
        "probabilities or a mask?",
        {"normalise": lambda kept, p: (kept > 0) / (kept > 0).sum()},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    (probabilities, p), got, right = inputs, outputs[0], expected[0]
    if got.shape != right.shape:
        return None
    if got.isnan().any():
        return (
            "your numbers are NaN, as when nothing is left and the sum is 0: where do you make "
            "sure that the most probable token stays, even if it crosses p alone?"
        )
    if (got < 0).any():
        return "some of your numbers are negative: are these logarithms?"
    yours, best = (x.nonzero().flatten().tolist() for x in (got, right))
    few = len(right) < 8
    given = [round(x, 4) for x in probabilities.tolist()] if few else f"{len(right)} of them"
    if yours != best:
        kept = f"tokens {yours}" if few else f"{len(yours)} tokens"
        wanted = f"{best}" if few else f"{len(best)}"
        return (
            f"for probabilities = {given} and p = {p} you keep {kept}, expected {wanted}. Yours "
            f"have {float(probabilities[yours].sum()):.4g} together: are they the most probable "
            "ones, and as few as reach p?"
        )
    return (
        f"the right tokens stay, with other numbers: yours sum to {float(got.sum()):.4g}. Is each "
        "probability divided by the same number?"
    )


TOP_P = Exercise(
    name="04.3",
    title="The nucleus",
    judge=SmallComparison(
        parameters=("probabilities", "p"),
        outputs={"nucleus": "V"},
        solution=solutions.top_p,
        cases=_cases,
        diagnose=_diagnose,
        tips=(
            (
                r"Dimension out of range|dimension",
                "probabilities is V, one axis only: which dim do you name?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
