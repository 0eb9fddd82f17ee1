"""Check of the exercise on the loss of a masked language model.

In the first case the axes are as long as each other where a wrong answer then runs and shows what
it does: T = V.

Axis letters: B batch, T length, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import masked_language_models_solutions as solutions
from course_utils.exercises.bits import one_number
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, normal
from course_utils.exercises.loss_mistakes import after_the_logits, cross_entropy
from course_utils.exercises.variants import SmallComparison, variants


def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(53)
    rand = partial(normal, generator)

    def case(*rows: str, size: int, scale: float = 1.0) -> Inputs:
        """A row is written as text; x = a place that is asked about."""
        places = torch.tensor([[sign == "x" for sign in row] for row in rows], device="cpu")
        target = torch.randint(0, size, places.shape, generator=generator, device="cpu")
        return scale * rand(*places.shape, size), target, places

    return [
        case(".xx.x", "...x.", ".xx..", size=5),
        case("x..x", "....", "xx.x", size=7),  # a row in which nothing is asked
        case("xxxxx.", ".xxx..", size=2),  # 0 is a token, too
        case(".x.", size=3),
        case(".x.xx", "x....", size=6, scale=100.0),
    ]


def _read(result: Any, inputs: Inputs) -> Outputs:
    question = (
        "the mean over all places of the batch, as a tensor from which a training can go back?"
    )
    return (one_number("loss", result, question),)


# ---- known mistakes: one loss with parts to exchange


def _same(logits: Tensor, target: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return logits, target, places


def _loss(
    logits: Tensor,
    target: Tensor,
    places: Tensor,
    *,
    align: Callable = _same,
    each: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    keep: Callable[[Tensor, Tensor], Tensor] = lambda places, target: places,
    mean: Callable[[Tensor, Tensor], Tensor] = lambda loss, places: loss[places].mean(),
    last: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Tensor:
    """The right loss, but for the parts that are given."""
    logits, target, places = align(logits, target, places)
    return last(mean(each(logits, target), keep(places, target)))


def _row_means(loss: Tensor, places: Tensor) -> Tensor:
    return (loss * places).sum(1) / places.sum(1)


_SHIFTED = (
    "you shift as a GPT does: here the logits at position t are for the token at t itself, which "
    "the model has not read. Which line goes?"
)
_ROWS = (
    "this is a mean of the rows' means: a place in a row with few of them counts more. Over what "
    "do you take one single mean?"
)

_MISTAKES = variants(
    _loss,
    (
        "all positions count: the model can read the tokens that are not hidden, so they are easy "
        "and hide how it does where it has to guess. Where do you use places?",
        {"keep": lambda places, target: torch.ones_like(places)},
    ),
    (
        "your mean is over what is not asked: does True mean hidden, or visible?",
        {"keep": lambda places, target: ~places},
    ),
    (
        "the other positions add nothing to your sum, but you divide by all of them. How many "
        "places are asked about?",
        {"mean": lambda loss, places: (loss * places).mean()},
    ),
    (
        _ROWS,
        {"mean": lambda loss, places: _row_means(loss, places).mean()},
        {"mean": lambda loss, places: _row_means(loss, places).nanmean()},
        {"mean": lambda loss, places: _row_means(loss, places).nan_to_num().mean()},
    ),
    (
        "you divide by the number of rows: what is the mean over?",
        {"mean": lambda loss, places: loss[places].sum() / len(loss)},
    ),
    (
        "you divide by the length of a row: what is the mean over?",
        {"mean": lambda loss, places: loss[places].sum() / loss.shape[1]},
    ),
    (
        "this is the sum over the places: by what do you divide it?",
        {"mean": lambda loss, places: loss[places].sum()},
    ),
    (
        "only the first place of each row counts: how many are there in a row?",
        {"keep": lambda places, target: places & (places.long().cumsum(1) == 1)},
    ),
    (
        "the token 0 is taken for one that is not asked about: it can be hidden as well. What says "
        "which positions count?",
        {"keep": lambda places, target: target != 0},
        {"keep": lambda places, target: places & (target != 0)},
    ),
    (
        _SHIFTED,
        {"align": lambda x, target, places: (x[:, :-1], target[:, 1:], places[:, 1:])},
        {"align": lambda x, target, places: (x[:, :-1], target[:, 1:], places[:, :-1])},
    ),
    (
        "the logits of the other positions become 0, and the mean is over all: a row of zeros says "
        "that all tokens are equally likely, and costs ln V. How do such positions go away?",
        {
            "align": lambda x, target, places: (x * places[..., None], target, places),
            "keep": lambda places, target: torch.ones_like(places),
        },
    ),
    (
        "the target becomes 0 at the other positions, and 0 is a token: there your model has to "
        "say it. How do such positions go away?",
        {
            "align": lambda x, target, places: (x, target * places, places),
            "keep": lambda places, target: torch.ones_like(places),
        },
    ),
    (
        "your target is places itself, a row of 0 and 1: which tokens stood there?",
        {"align": lambda x, target, places: (x, places.long(), places)},
    ),
    (
        "your target is the model's own best guess: which tokens stood there?",
        {"align": lambda x, target, places: (x, x.argmax(-1), places)},
    ),
    *after_the_logits("place"),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    got, right, places = float(outputs[0]), float(expected[0]), inputs[2]
    large = inputs[0].abs().max() > 50
    if math.isnan(got) and not large:
        return (
            "your loss is NaN: a mean over nothing is 0/0. There are rows without any place: do "
            "you divide by the number of places of each row?"
        )
    if not math.isfinite(got) and large:
        return (
            f"your loss is {got}: logits can be larger than 100, where exp is too large for "
            "float32, and a softmax gives 0, whose logarithm is infinite. Which function of torch "
            "gives the logarithm of a softmax, and safely?"
        )
    rows = " + ".join(str(n) for n in places.sum(1).tolist())
    return (
        f"your loss is {got:.5g}, expected {right:.5g}. There are {rows} places here, of logits "
        f"{tuple(inputs[0].shape)}, B T V: how many do you take the mean over, and which logits "
        "belong to the first of them?"
    )


MASKED_LOSS = Exercise(
    name="05.3",
    title="The loss of the masked words",
    judge=SmallComparison(
        parameters=("logits", "target", "places"),
        outputs={"loss": "one number"},
        solution=solutions.masked_loss,
        cases=_cases,
        read=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"batch_size|target size|Expected target|out of bounds",
                "cross_entropy wants logits N V and targets N, or B V T and B T: which shapes "
                "has it got? A mask as an index, logits[places], makes N V of B T V.",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
