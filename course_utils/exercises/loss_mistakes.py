"""Wrong answers that every exercise on a cross-entropy meets, from the logits to the one number.

Axis letters: B batch, T length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.exercises.bits import LN_2


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Nats at each position: B T V, B T -> B T."""
    return F.cross_entropy(logits.mT, target, reduction="none")


def _chosen(of: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Takes for each position the number of its target."""
    return lambda logits, target: of(logits).gather(-1, target[..., None])[..., 0]


def after_the_logits(row: str) -> tuple[tuple[Any, ...], ...]:
    """Hints, each with the parts to exchange in the right loss (see `variants`).

    Parameters
    ----------
    row
        What a row of the table of logits is: "target".
    """
    return (
        (
            "there is a softmax before cross_entropy, which has one inside: the second one makes "
            "all tokens nearly equally likely. Which one goes?",
            {"each": lambda logits, target: cross_entropy(logits.softmax(-1), target)},
        ),
        (
            "the softmax runs over the positions: cross_entropy wants the vocabulary on axis 1, or "
            f"logits as a table with one row for each {row}. Which of your axes is V?",
            {"each": lambda logits, target: F.cross_entropy(logits, target, reduction="none")},
            {"each": lambda logits, target: -_chosen(lambda x: x.log_softmax(1))(logits, target)},
        ),
        (
            "the sign is wrong: a loss becomes smaller when the model becomes better. Is this the "
            "mean logarithm itself?",
            {"each": lambda logits, target: -cross_entropy(logits, target)},
        ),
        (
            "these are probabilities without a logarithm: nll_loss takes log-probabilities and "
            "does not make them. Do you know log_softmax?",
            {"each": lambda logits, target: -_chosen(lambda x: x.softmax(-1))(logits, target)},
            {"each": _chosen(lambda x: x.softmax(-1))},
        ),
        (
            "there is no softmax: nll_loss takes log-probabilities and does not make them. Which "
            "function makes them of logits?",
            {"each": lambda logits, target: -_chosen(lambda x: x)(logits, target)},
        ),
        (
            "this is the perplexity: the exponential of the loss. What is left when exp goes?",
            {"last": torch.exp},
        ),
        (
            "your loss is in bits: the exercise asks for nats, the natural logarithm. Which factor "
            "goes?",
            {"last": lambda loss: loss / LN_2},
        ),
    )
