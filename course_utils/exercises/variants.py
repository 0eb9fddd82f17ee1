"""Known mistakes as variants of one right function, which can be put together two at a time.

A right answer with parts to exchange is written once, `answer(*inputs, part=..., ...)`. Each known
mistake exchanges one part. So two mistakes at once are found too, without a list of all pairs:
by `two_at_once` in a `Comparison`, by `SmallComparison` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

from torch import Tensor

from course_utils.exercises.checking import Hint, Mistake
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, Run, close, same

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


def two_at_once(
    mistakes: tuple[Mistake, ...],
    otherwise: Diagnose | None = None,
    read: Callable[[Any, Inputs], Outputs] | None = None,
) -> Diagnose:
    """A `diagnose` for `Comparison` that knows every two of the mistakes together.

    Parameters
    ----------
    mistakes : tuple of Mistake
        From `variants`; of those with the same hint the first counts.
    otherwise : callable, optional
        Asked when no two of them give the answer's numbers.
    read : callable, optional
        That of the `Comparison`, if it has one.
    """
    both = pairs(mistakes)

    def diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
        for mistake in () if _says_nothing(outputs) else both:
            if _gives(mistake.answer, inputs, outputs, read):
                return mistake.hint
        return otherwise(inputs, outputs, expected) if otherwise else None

    return diagnose


class SmallComparison(Comparison):
    """For outputs that are small and so often equal by chance.

    A known mistake, or two together, must give what the answer gives on all inputs; a single one
    may miss one of them.
    """

    def _known_mistake(
        self, mistakes: tuple[Mistake, ...], runs: list[Run], expected: list[Outputs], number: int
    ) -> str | None:
        theirs = [run.outputs for run in runs]
        triples = [*zip(self.cases(), theirs, expected, strict=True)]
        for most, some in ((0, mistakes), (0, pairs(mistakes)), (1, mistakes)):
            for mistake in some:
                if self._fits(mistake, triples, most):
                    return mistake.hint
        return None

    def _fits(
        self, mistake: Mistake, triples: list[tuple[Inputs, Outputs | None, Outputs]], most: int
    ) -> bool:
        """Gives it what the answer gives on all inputs but `most`, on more of them both wrong?"""
        misses = hits = 0
        for inputs, theirs, right in triples:
            found = self._run(mistake.answer, inputs).outputs
            alike = same(found, theirs) or found is theirs is None
            hits += alike and not same(theirs, right) and not _says_nothing(theirs)
            misses += not alike
            if misses > most:
                return False
        return hits > most


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


def _says_nothing(outputs: Outputs | None) -> bool:
    """Is one of the outputs all NaN, whatever made it so?"""
    return any(isinstance(x, Tensor) and bool(x.isnan().all()) for x in outputs or ())


def _together(first: Mistake, second: Mistake) -> Callable[..., Any] | None:
    """Both mistakes in one answer; None where they exchange the same part."""
    a, b = first.answer, second.answer
    if not (isinstance(a, partial) and isinstance(b, partial)) or a.func is not b.func:
        return None
    return None if a.keywords.keys() & b.keywords else partial(a, **b.keywords)


def _gives(
    answer: Callable[..., Any],
    inputs: Inputs,
    outputs: Outputs,
    read: Callable[[Any, Inputs], Outputs] | None,
) -> bool:
    try:
        result = answer(*inputs)
        found = read(result, inputs) if read else result
    except (RuntimeError, IndexError, ValueError, Hint):  # the two do not fit together
        return False
    found = (found,) if isinstance(found, Tensor) else found
    return all(close(theirs.double(), own) for theirs, own in zip(found, outputs, strict=True))
