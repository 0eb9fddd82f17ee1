"""Known mistakes as variants of one right function, which can be put together two at a time.

A right answer with parts to exchange is written once, `answer(*inputs, part=..., ...)`. Each known
mistake exchanges one part. So two mistakes at once are found too, without a list of all pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

from torch import Tensor

from course_utils.exercises.checking import Mistake
from course_utils.exercises.comparing import Inputs, Outputs, close

Diagnose = Callable[[Inputs, Outputs, Outputs], str | None]


def variants(answer: Callable[..., Any], *wrong: tuple[Any, ...]) -> tuple[Mistake, ...]:
    """Known mistakes: each has a hint, and one or more ways to make it.

    Parameters
    ----------
    answer : callable
        Right, with parts to exchange.
    *wrong : tuple of a str and dicts
        The hint, then the exchanged parts of each way.
    """
    return tuple(Mistake(hint, partial(answer, **parts)) for hint, *ways in wrong for parts in ways)


def two_at_once(mistakes: tuple[Mistake, ...], otherwise: Diagnose | None = None) -> Diagnose:
    """A `diagnose` for `Comparison` that knows every two of the mistakes together.

    Parameters
    ----------
    mistakes : tuple of Mistake
        From `variants`; of those with the same hint the first counts.
    otherwise : callable, optional
        Asked when no two of them give the answer's numbers.
    """

    both = pairs(mistakes)

    def diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
        for mistake in () if any(x.isnan().all() for x in outputs) else both:
            if _gives(mistake.answer, inputs, outputs):
                return mistake.hint
        return otherwise(inputs, outputs, expected) if otherwise else None

    return diagnose


def pairs(mistakes: tuple[Mistake, ...]) -> tuple[Mistake, ...]:
    """Every two of the mistakes as one, where they can be put together.

    Parameters
    ----------
    mistakes : tuple of Mistake
        From `variants`; of those with the same hint the first counts.
    """
    first_ways = [*{mistake.hint: mistake for mistake in reversed(mistakes)}.values()][::-1]
    return tuple(
        Mistake(f"two things at once. First: {first.hint} Second: {second.hint}", both)
        for first, second in combinations(first_ways, 2)
        if (both := _together(first, second))
    )


def _together(first: Mistake, second: Mistake) -> Callable[..., Any] | None:
    """Both mistakes in one answer; None where they exchange the same part."""
    a, b = first.answer, second.answer
    if not (isinstance(a, partial) and isinstance(b, partial)) or a.func is not b.func:
        return None
    return None if a.keywords.keys() & b.keywords else partial(a, **b.keywords)


def _gives(answer: Callable[..., Any], inputs: Inputs, outputs: Outputs) -> bool:
    try:
        result = answer(*inputs)
    except (RuntimeError, IndexError, ValueError):  # the two do not fit together
        return False
    found = (result,) if isinstance(result, Tensor) else result
    return all(close(theirs.double(), own) for theirs, own in zip(found, outputs, strict=True))
