"""Check of the exercise on the loss of a model that knows frequencies only.

Axis letters: N tokens for counting, M tokens that are judged, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import masked_language_models_solutions as solutions
from course_utils.exercises.bits import LN_2, one_number
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.variants import SmallComparison, variants


def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(54)
    given = partial(torch.tensor, device="cpu")

    def text(number: int, size: int) -> Tensor:
        """Token 0 is frequent, the last ones are rare."""
        draw = torch.rand(number, generator=generator, device="cpu", dtype=torch.float32)
        return (size * draw**3).long()

    return [
        (given([0, 0, 1, 0, 2, 0, 3, 0, 1]), given([1, 0, 0, 3, 1]), 5),  # 4 occurs nowhere
        (given([0, 0, 0, 1]), given([0, 2]), 4),  # 2 is new
        (given([2, 2, 2]), given([2]), 3),
        (text(200, 30), text(80, 40), 50),
        (text(7, 10), text(90, 12), 12),
    ]


def _read(result: Any, inputs: Inputs) -> Outputs:
    if isinstance(result, Real) and not isinstance(result, bool):
        result = torch.tensor(float(result), dtype=torch.float64, device="cpu")
    return (one_number("height", result, "do you take the mean over the held-out tokens?"),)


# ---- known mistakes: one cross-entropy with parts to exchange


def _plus_one(counts: Tensor) -> Tensor:
    return counts + 1


def _height(
    train_ids: Tensor,
    held_out_ids: Tensor,
    vocab_size: int,
    *,
    texts: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda train, held_out: (
        train,
        held_out,
    ),
    smooth: Callable[[Tensor], Tensor] = _plus_one,
    total: Callable[[Tensor, Tensor], Any] = lambda counts, smoothed: smoothed.sum(),
    judge: Callable[[Tensor, Tensor], Tensor] = lambda p, ids: -p.log()[ids].mean(),
    last: Callable[[Tensor], Tensor] = lambda height: height,
) -> Tensor:
    """The right number, but for the parts that are given.

    `smooth` works on the counts, `total` is what they are divided by, `judge` makes one number.
    """
    counted, judged = texts(train_ids, held_out_ids)
    counts = torch.bincount(counted, minlength=vocab_size).double()
    smoothed = smooth(counts)
    return last(judge(smoothed / total(counts, smoothed), judged))


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum()


def _present(counts: Tensor) -> Tensor:
    return counts > 0


_MISTAKES = variants(
    _height,
    (
        "this is the entropy of the training text: you weigh each surprise with the probability "
        "from the training text, and the held-out tokens never come in. How often does each of "
        "them count?",
        {"judge": lambda p, ids: _entropy(p)},
    ),
    (
        "you judge the training text itself: its frequencies fit it better than any other text. "
        "Which tokens do you take the mean over?",
        {"texts": lambda train, held_out: (train, train)},
    ),
    (
        "you count in the held-out text: a model learns from the training text, and the other one "
        "judges it. Which of the two goes into your counts?",
        {"texts": lambda train, held_out: (held_out, held_out)},
    ),
    (
        "the two texts have changed places: which one is counted, and which one is judged?",
        {"texts": lambda train, held_out: (held_out, train)},
    ),
    (
        "you count in both texts: a text that is judged must not help to learn. Which one goes?",
        {"texts": lambda train, held_out: (torch.cat([train, held_out]), held_out)},
    ),
    (
        "the counts are without the plus one: a token that does not occur in the training text is "
        "impossible then, and costs infinitely many nats. Where does the 1 go?",
        {"smooth": lambda counts: counts},
    ),
    (
        "you divide by the number of training tokens: each of the V counts is one larger, so your "
        "probabilities sum to more than 1. What is the sum of all counts now?",
        {"total": lambda counts, smoothed: counts.sum()},
    ),
    (
        "you divide by the number of training tokens plus one: each of the V counts is one larger. "
        "By how much has the sum grown?",
        {"total": lambda counts, smoothed: counts.sum() + 1},
    ),
    (
        "V stands below the line, but the counts have no plus one: your probabilities sum to less "
        "than 1. Where does the other 1 go?",
        {"smooth": lambda counts: counts, "total": lambda counts, smoothed: (counts + 1).sum()},
    ),
    (
        "only tokens that do not occur get the plus one: every count is one larger. Which tokens "
        "are worth less in yours than they should?",
        {"smooth": lambda counts: counts.clamp(min=1)},
    ),
    (
        "your V is the number of different tokens that occur in the training text: a token that "
        "does not occur gets a 1 as well. How many tokens are there?",
        {"total": lambda counts, smoothed: counts.sum() + _present(counts).sum()},
        {"smooth": lambda counts: counts + _present(counts)},
    ),
    (
        "your number is in bits: the exercise asks for nats. Which logarithm is it?",
        {"last": lambda height: height / LN_2},
    ),
    (
        "your logarithm has the base 10: which base counts nats?",
        {"last": lambda height: height / math.log(10)},
    ),
    (
        "this is the perplexity: the exponential of a cross-entropy. What is left when exp goes?",
        {"last": torch.exp},
    ),
    (
        "the sign is wrong: a logarithm of a probability is negative, a cross-entropy is positive. "
        "Where does the minus go?",
        {"last": torch.neg},
    ),
    (
        "this is the sum over the held-out tokens: by what do you divide it?",
        {"judge": lambda p, ids: -p.log()[ids].sum()},
    ),
    (
        "you divide the sum over the held-out tokens by V: how many tokens are in the sum?",
        {"judge": lambda p, ids: -p.log()[ids].sum() / len(p)},
    ),
    (
        "this is the surprise of a token of mean probability: the logarithm comes first, the mean "
        "after it. What do you take the logarithm of?",
        {"judge": lambda p, ids: -p[ids].mean().log()},
    ),
    (
        "each token that occurs counts once, however often it stands in the held-out text: how "
        "often does a frequent one count?",
        {"judge": lambda p, ids: -p.log()[ids.unique()].mean()},
    ),
    (
        "this is a mean over the whole vocabulary: where do the held-out tokens come in?",
        {"judge": lambda p, ids: -p.log().mean()},
    ),
    (
        "each surprise is weighted with its probability: the held-out text has chosen the tokens "
        "already. How often does each of them count?",
        {"judge": lambda p, ids: -(p * p.log())[ids].sum()},
        {"judge": lambda p, ids: -(p * p.log())[ids].mean()},
    ),
    (
        "all tokens are equally likely in yours, and that costs ln V: where are the counts?",
        {"smooth": torch.ones_like},
    ),
    (
        "this is a mean probability: where is the logarithm?",
        {"judge": lambda p, ids: p[ids].mean()},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    (train_ids, held_out_ids, vocab_size), got, right = (
        inputs,
        float(outputs[0]),
        float(expected[0]),
    )
    if math.isnan(got):
        return (
            "your number is NaN, as 0 times infinity is: does every token of the vocabulary have "
            "a count of 1 at least?"
        )
    if math.isinf(got):
        return (
            "your number is infinite: the logarithm of 0. Does every token of the vocabulary have "
            "a count of 1 at least?"
        )
    few = len(train_ids) + len(held_out_ids) < 20
    texts = (
        f"train_ids = {train_ids.tolist()}, held_out_ids = {held_out_ids.tolist()}"
        if few
        else f"{len(train_ids)} training tokens, {len(held_out_ids)} held-out ones"
    )
    first = int(held_out_ids[0])
    count, most = int((train_ids == first).sum()) + 1, len(train_ids) + vocab_size
    return (
        f"for {texts} and vocab_size = {vocab_size} you give {got:.5g}, expected {right:.5g}: the "
        f"first held-out token is {first}, with the probability {count}/{most}. Is it the same in "
        "yours?"
    )


PLATEAU = Exercise(
    name="05.4",
    title="The height of the plateau",
    judge=SmallComparison(
        parameters=("train_ids", "held_out_ids", "vocab_size"),
        outputs={"height": "one number"},
        solution=solutions.plateau,
        cases=_cases,
        read=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"out of bounds|out of range",
                "the table of counts ends before vocab_size: bincount makes it as long as the "
                "largest id asks for. Do you know its minlength?",
            ),
            (
                r"indices must be|used as indices",
                "an index is a whole number: which dtype has it got?",
            ),
            (r"KeyError", "a dict has no entry for a token that did not occur: do you know get?"),
        ),
    ),
    mistakes=_MISTAKES,
)
