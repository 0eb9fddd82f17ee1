"""Check of the exercise on sinusoidal positions.

Axis letters: T length, D model width; i counts pairs of columns, 0 to D/2 - 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.exercises import transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Comparison, Inputs, Outputs
from course_utils.exercises.variants import two_at_once, variants


def _cases() -> list[Inputs]:
    # Length and width are equal first, so that an answer that exchanges them runs.
    return [(8, 8), (7, 12), (40, 6), (3, 2), (1, 4)]


def _interleave(sines: Tensor, cosines: Tensor) -> Tensor:
    return torch.stack([sines, cosines], -1).flatten(1)


def _join(sines: Tensor, cosines: Tensor) -> Tensor:
    return torch.cat([sines, cosines], -1)


def _table(
    length: int,
    d_model: int,
    *,
    start: int = 0,
    base: float = 10_000.0,
    exponent: Callable = lambda i, d: 2 * i / d,
    of_cosine: Callable | None = None,
    turn: Callable = lambda position, power, d: position / power,
    waves: tuple[Callable, Callable] = (torch.sin, torch.cos),
    layout: Callable = _interleave,
    whole: Callable = lambda table: table,
) -> Tensor:
    """The right table, but for the parts that are given."""
    float64 = {"dtype": torch.float64, "device": "cpu"}
    position = torch.arange(start, start + length, **float64)[:, None]
    i = torch.arange(d_model // 2, **float64)
    powers = [base ** e(i, d_model) for e in (exponent, of_cosine or exponent)]
    angles = [turn(position, power, d_model) for power in powers]
    return whole(layout(*(wave(angle) for wave, angle in zip(waves, angles, strict=True))))


_MISTAKES = variants(
    _table,
    (
        "all sines stand in the first half and all cosines in the second: in the paper's table "
        "they alternate. Which columns are 0::2 and 1::2?",
        {"layout": _join},
    ),
    (
        "sine and cosine have changed places: which of the two has the even columns 0, 2, 4?",
        {"waves": (torch.cos, torch.sin)},
    ),
    ("there are sines only: which function has the odd columns?", {"waves": (torch.sin,) * 2}),
    ("there are cosines only: which function has the even columns?", {"waves": (torch.cos,) * 2}),
    (
        "your positions start from 1: the first row must be 0, 1, 0, 1, ... "
        "What does torch.arange start from?",
        {"start": 1},
    ),
    (
        "the exponent is i/D, not 2i/D: your last wave turns too fast, because i counts pairs of "
        "columns and ends at D/2 (a base of 100 does the same). Do you count pairs, or the "
        "columns 0, 2, 4?",
        {"exponent": lambda i, d: i / d},
    ),
    (
        "the factor 2 is there twice: arange(0, D, 2) gives 2i already. "
        "Which of the two twos goes?",
        {"exponent": lambda i, d: 4 * i / d},
    ),
    (
        "each column has an exponent of its own: sine and cosine of a pair share one. "
        "Which number of the equation is the same for columns 2i and 2i + 1?",
        {"of_cosine": lambda i, d: (2 * i + 1) / d},
    ),
    (
        "your last wave turns too slowly: 2i is divided by D - 2, so that the last exponent is 1. "
        "What does the equation divide by?",
        {"exponent": lambda i, d: 2 * i / max(d - 2, 1)},
    ),
    (
        "the exponent is not divided by D: the waves after the first hardly turn. "
        "What is 2i divided by?",
        {"exponent": lambda i, d: 2 * i},
        {"exponent": lambda i, d: i},
    ),
    (
        "you divide by D after the power: 10000 ** 2i / D is not 10000 ** (2i / D). "
        "Where do the brackets go?",
        {"exponent": lambda i, d: 2 * i, "turn": lambda p, s, d: p / (s / d)},
    ),
    ("the base is 1000: the paper takes 10000. Is there a zero missing?", {"base": 1_000.0}),
    ("the base is 100000: the paper takes 10000. Is there a zero too many?", {"base": 100_000.0}),
    (
        "there is no base: all pairs turn at the same speed, one position like the next after "
        "6.28 words. What is the position divided by?",
        {"base": 1.0},
    ),
    (
        "the base is e: torch.exp(2i / D) instead of 10000 ** (2i / D). Which number has the "
        "exponent in the equation?",
        {"base": torch.e},
    ),
    (
        "the position is multiplied, not divided: your waves become faster along the columns, "
        "and the equation's slower. On which side of the fraction is the power?",
        {"turn": lambda p, s, d: p * s},
    ),
    (
        "your angles are turned into degrees or out of them: torch.sin takes radians, and the "
        "position is used as it is. Which factor goes?",
        {"turn": lambda p, s, d: torch.deg2rad(p / s)},
        {"turn": lambda p, s, d: torch.rad2deg(p / s)},
    ),
    (
        "there is a factor of 2 pi too many: the angle is the position times a speed, in radians. "
        "Does the equation have a pi?",
        {"turn": lambda p, s, d: 2 * torch.pi * p / s},
    ),
    (
        "the angles come back, not their sines and cosines: what bends them?",
        {"waves": (lambda angle: angle,) * 2},
    ),
    (
        "rows and columns are exchanged: a row is a position, T D. Which of the two needs "
        "unsqueeze(1) before you divide?",
        {"whole": lambda table: table.T},
    ),
    (
        "there is an axis too many: the table is T D, for all sentences of the batch the same. "
        "Which unsqueeze goes?",
        {"whole": lambda table: table[None]},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    table, right = outputs[0], expected[0]
    if table.shape != right.shape or table.isnan().any():
        return None
    if (table.abs() > 1 + 1e-6).any():
        return "some of your numbers are above 1 or below -1: is each a sine or a cosine?"
    if not torch.allclose(table[:, :2], right[:, :2], atol=1e-5):
        return None  # the first pair is wrong: its first number is told, which is easy to check
    return (
        "the first two columns are right, sine and cosine of the position itself; the others turn "
        "at another speed. What is 10000 ** (2i / D) for i = 1?"
    )


POSITIONS = Exercise(
    name="02.2",
    title="Sinusoidal positions",
    judge=Comparison(
        parameters=("length", "d_model"),
        outputs={"table": "T D"},
        solution=solutions.positions,
        cases=_cases,
        diagnose=two_at_once(_MISTAKES, otherwise=_diagnose),
        tips=(
            (
                r"size of tensor|expand|broadcast",
                "the angles are a table, T D/2: which axis of length 1 does the position need?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
