"""Check of the exercise on the loss of a language model.

In the first case the axes are as long as each other where a wrong answer then runs and shows what
it does: T - 1 = V.

Axis letters: B batch, T length, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.bits import one_number
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Inputs, Outputs, key_mask, normal
from course_utils.exercises.loss_mistakes import after_the_logits, cross_entropy
from course_utils.exercises.random_layers import drawn_once
from course_utils.exercises.variants import SmallComparison, variants


@drawn_once
def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(42)
    rand = partial(normal, generator)

    def case(lengths: tuple[int, ...], size: int, scale: float = 1.0, least: int = 0) -> Inputs:
        mask = key_mask(*lengths)[:, 0]
        shape = {"size": mask.shape, "generator": generator, "device": "cpu"}
        ids = torch.randint(least, size, **shape).masked_fill(~mask, 0)
        return scale * rand(*mask.shape, size), ids, mask

    return [
        case((5, 3, 2), 4, least=1),
        case((6, 6, 4, 6), 3),  # 0 is a token, too
        case((4, 1, 3), 7),  # a row without a target
        case((2,), 3),
        case((4, 3), 5, scale=100.0),
    ]


def _read(result: Any, inputs: Inputs) -> Outputs:
    question = (
        "the mean over all targets of the batch, as a tensor from which a training can go back?"
    )
    return (one_number("loss", result, question),)


# ---- known mistakes: one loss with parts to exchange


def _shifted(logits: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return logits[:, :-1], ids[:, 1:], mask[:, 1:]


def _row_after_row(logits: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One long row: the end of a sentence has to say the beginning of the next one."""
    return logits.flatten(0, 1)[None, :-1], ids.flatten()[None, 1:], mask.flatten()[None, 1:]


def _of_real(loss: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    return loss[real].mean()


def _last_of_row(real: Tensor) -> Tensor:
    return real & (real.long().cumsum(1) == real.long().sum(1, keepdim=True))


def _loss(
    logits: Tensor,
    ids: Tensor,
    mask: Tensor,
    *,
    align: Callable = _shifted,
    each: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    keep: Callable[[Tensor, Tensor], Tensor] = lambda real, target: real,
    mean: Callable[[Tensor, Tensor, Tensor], Tensor] = _of_real,
    last: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Tensor:
    """The right loss, but for the parts that are given."""
    logits, target, real = align(logits, ids, mask)
    return last(mean(each(logits, target), keep(real, target), mask))


_OTHER_WAY = (
    "the shift goes the other way: your model has to say the token before, which it has read "
    "already. Which of logits and ids loses its first position, and which its last one?"
)
_WRAPPED = (
    "the end has to say something that does not come after it: with roll the first token stands "
    "behind the last one. Which positions have a next token?"
)

_MISTAKES = variants(
    _loss,
    (
        "nothing is shifted: the logits at position t are for token t + 1, and you compare them "
        "with token t, which the model has just read. Which positions of ids are the targets?",
        {"align": lambda logits, ids, mask: (logits, ids, mask)},
    ),
    (
        _OTHER_WAY,
        {"align": lambda logits, ids, mask: (logits[:, 1:], ids[:, :-1], mask[:, :-1])},
        {"align": lambda logits, ids, mask: (logits[:, 1:], ids[:, :-1], mask[:, 1:])},
    ),
    (
        "you look two tokens ahead: is something shifted twice?",
        {"align": lambda logits, ids, mask: (logits[:, :-2], ids[:, 2:], mask[:, 2:])},
    ),
    (
        "the mask is not shifted with the targets: in a short row the first padding counts as a "
        "target. Which positions of the mask belong to ids[:, 1:]?",
        {"align": lambda logits, ids, mask: (logits[:, :-1], ids[:, 1:], mask[:, :-1])},
    ),
    (
        "the rows touch: you flatten first and shift then, so that the last token of a row has to "
        "say the first one of the next row. Which of the two comes first?",
        {"align": _row_after_row},
    ),
    (
        _WRAPPED,
        {"align": lambda logits, ids, mask: (logits, ids.roll(-1, 1), mask)},
        {"align": lambda logits, ids, mask: (logits, ids.roll(-1, 1), mask.roll(-1, 1))},
    ),
    (
        "padding counts: the mean must be over real targets only. Where do you use the mask?",
        {"keep": lambda real, target: torch.ones_like(real)},
    ),
    (
        "the mask is inverted: your mean is over padding only. Does True mean a real token?",
        {"keep": lambda real, target: ~real},
    ),
    (
        "the token 0 is taken for padding: it can be a real token. What says which is which?",
        {"keep": lambda real, target: target != 0},
        {"keep": lambda real, target: real & (target != 0)},
    ),
    (
        "only the last real token of each row counts: how many targets has a row of 5 tokens?",
        {"keep": lambda real, target: _last_of_row(real)},
    ),
    (
        "padding adds nothing to your sum, but you divide by all positions, padding included. How "
        "many real targets are there?",
        {"mean": lambda loss, real, mask: (loss * real).mean()},
    ),
    (
        "you divide by the number of real tokens: the first token of a row is no target. How many "
        "real targets are there?",
        {"mean": lambda loss, real, mask: loss[real].sum() / mask.sum()},
    ),
    (
        "this is a mean of the rows' means: a token of a short row counts more than one of a long "
        "row. Over what do you take one single mean?",
        {"mean": lambda loss, real, mask: ((loss * real).sum(1) / real.sum(1)).mean()},
        {"mean": lambda loss, real, mask: ((loss * real).sum(1) / real.sum(1).clamp(1)).mean()},
    ),
    (
        "you divide by the number of rows: what is the mean over?",
        {"mean": lambda loss, real, mask: loss[real].sum() / len(mask)},
    ),
    (
        "this is the sum over the targets: by what do you divide it?",
        {"mean": lambda loss, real, mask: loss[real].sum()},
    ),
    *after_the_logits("target"),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    got, right, real = float(outputs[0]), float(expected[0]), inputs[2][:, 1:]
    large = inputs[0].abs().max() > 50
    if math.isnan(got) and not large:
        return (
            "your loss is NaN: a mean over nothing is 0/0. A row with one real token has no "
            "target, a row with two has one: do you divide by the number of targets of each row, "
            "or leave out too many?"
        )
    if not math.isfinite(got) and large:
        return (
            f"your loss is {got}: logits can be larger than 100, where exp is too large for "
            "float32, and a softmax gives 0, whose logarithm is infinite. Which function of torch "
            "gives the logarithm of a softmax, and safely?"
        )
    rows = " + ".join(str(n) for n in real.sum(1).tolist())
    return (
        f"your loss is {got:.5g}, expected {right:.5g}. There are {rows} real targets here, of "
        f"logits {tuple(inputs[0].shape)}, B T V: how many do you take the mean over, and which "
        "logits belong to the first of them?"
    )


NEXT_TOKEN_LOSS = Exercise(
    name="04.2",
    title="The loss of the next token",
    judge=SmallComparison(
        parameters=("logits", "ids", "mask"),
        outputs={"loss": "one number"},
        solution=solutions.next_token_loss,
        cases=_cases,
        read=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"batch_size|target size|Expected target|out of bounds",
                "cross_entropy wants logits N V and targets N, or B V T and B T: which shapes "
                "has it got? A mask as an index, logits[mask], makes N V of B T V.",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
