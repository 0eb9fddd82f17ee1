"""Check of the exercise on bits per byte.

Axis letters: N tokens of a text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Inputs, Outputs, normal, real
from course_utils.exercises.variants import SmallComparison, variants

LN_2 = math.log(2)


def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(41)
    rand = partial(normal, generator)
    by_hand = torch.tensor([1 / 2, 1 / 8, 1 / 16], device="cpu").log()
    unlikely = torch.tensor([-0.5, -150.0, -3.0], device="cpu")  # exp(-150) is 0 in float32
    certain = torch.zeros(2, device="cpu")
    return [
        (by_hand, 5),
        (-rand(7).abs(), 20),
        (-rand(1).abs(), 3),
        (-5 * rand(300).abs(), 1000),
        (unlikely, 11),
        (certain, 4),
    ]


def one_number(name: str, result: Any, question: str) -> Tensor:
    """A tensor that holds one number; `question` stands in the hint.

    Raises
    ------
    Hint
        When it is something else.
    """
    if result is None:
        raise Hint(f"your function returned nothing: does it end with `return {name}`?")
    if not isinstance(result, Tensor):
        raise Hint(f"{name} is a {type(result).__name__}, expected one number: {question}")
    number = real(name, result)
    if number.ndim:
        raise Hint(
            f"{name} has the shape {tuple(number.shape)}, expected one number, shape (): {question}"
        )
    return number


def _read(result: Any, inputs: Inputs) -> Outputs:
    if isinstance(result, Real) and not isinstance(result, bool):
        result = torch.tensor(float(result), dtype=torch.float64, device="cpu")
    return (one_number("bits", result, "do you add up the tokens' bits?"),)


# ---- known mistakes: one sum with parts to exchange


def _bits(
    log_probs: Tensor,
    num_bytes: int,
    *,
    surprise: Callable[[Tensor], Tensor] = torch.neg,
    total: Callable[[Tensor], Tensor] = torch.sum,
    unit: float = LN_2,
    per: Callable[[Tensor, int, int], Tensor] = lambda bits, num_bytes, num_tokens: (
        bits / num_bytes
    ),
    last: Callable[[Tensor], Tensor] = lambda bits: bits,
) -> Tensor:
    """The right number, but for the parts that are given; `unit` is what a bit is, in nats."""
    bits = total(surprise(log_probs.double())) / unit
    return last(per(bits, num_bytes, len(log_probs)))


def _alone(bits: Tensor, num_bytes: int, num_tokens: int) -> Tensor:
    return bits


_MISTAKES = variants(
    _bits,
    (
        "your bits are nats: log_probs are natural logarithms, and a bit is a logarithm to the "
        "base 2. What do you divide by to go from one to the other?",
        {"unit": 1.0},
    ),
    (
        "you divide by the number of tokens, not of bytes: those are bits per token. Why can two "
        "models with different tokenizers not be compared by that?",
        {"per": lambda bits, num_bytes, num_tokens: bits / num_tokens},
    ),
    (
        "the sign is wrong: a probability is below 1, so its logarithm is negative, but a number "
        "of bits is positive. Where does the minus go?",
        {"surprise": lambda logs: logs},
    ),
    (
        "you divide by the logarithm of 10: which base counts bits?",
        {"unit": math.log(10)},
    ),
    (
        "you multiply by ln 2: one nat is 1.44 bits, so the number should become larger. On which "
        "side of the fraction does ln 2 stand?",
        {"unit": 1 / LN_2},
    ),
    (
        "ln 2 is there twice: does your logarithm have the base 2 already when you divide?",
        {"unit": LN_2**2},
    ),
    (
        "these are the bits of the whole text: how many does each of its bytes need?",
        {"per": _alone},
    ),
    (
        "you take the mean over the tokens, and then divide by the bytes too: how many bits does "
        "the whole text need?",
        {"total": torch.mean},
    ),
    (
        "you divide by 8 times the number of bytes: those are bits per bit of the text. Which of "
        "the two is asked for?",
        {"per": lambda bits, num_bytes, num_tokens: bits / num_bytes / 8},
    ),
    (
        "the fraction is upside down: you give bytes per bit. What stands below?",
        {"per": lambda bits, num_bytes, num_tokens: num_bytes / bits},
    ),
    (
        "this is a perplexity: it is the exponential of a mean surprise, and not in bits. What is "
        "left when exp goes?",
        {"total": torch.mean, "unit": 1.0, "per": _alone, "last": torch.exp},
        {"last": torch.exp2},
        {"unit": 1.0, "last": torch.exp},
    ),
    (
        "each surprise is weighted with its probability: that is an entropy, for tokens that could "
        "come. These tokens did come. How often does each of them count?",
        {"surprise": lambda logs: -logs.exp() * logs},
    ),
    (
        "you add up probabilities and take the logarithm afterwards: those of a text are "
        "multiplied. What becomes of a product when you take its logarithm?",
        {"total": lambda surprise: -torch.logsumexp(-surprise, 0)},
    ),
    (
        "the fraction is cut off: // gives whole numbers only. Which sign divides?",
        {"last": torch.floor},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    (log_probs, num_bytes), got, right = inputs, float(outputs[0]), float(expected[0])
    if math.isnan(got):
        return (
            "your number is NaN: log_probs are logarithms already, and negative. Do you take the "
            "logarithm of a negative number?"
        )
    if math.isinf(got):
        return (
            "your number is infinite: exp of a log-probability such as -150 is 0 in float32, and "
            "the logarithm of 0 is infinite. Can you do without exp?"
        )
    numbers = [round(x, 4) for x in log_probs.tolist()]
    text = f"log_probs = {numbers}" if len(numbers) < 8 else f"{len(numbers)} tokens"
    return (
        f"for {text} and num_bytes = {num_bytes} you give {got:.5g}, expected {right:.5g}: how "
        "many bits does the first token need?"
    )


BITS_PER_BYTE = Exercise(
    name="04.1",
    title="Bits per byte",
    judge=SmallComparison(
        parameters=("log_probs", "num_bytes"),
        outputs={"bits": "one number"},
        solution=solutions.bits_per_byte,
        cases=_cases,
        read=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"must be Tensor, not|only tensors|real number",
                "math.log takes one number, torch.log a tensor: which of the two have you?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
