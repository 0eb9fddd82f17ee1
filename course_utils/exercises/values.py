"""Judging an answer that is made of plain Python values: strings, numbers, tuples, dicts.

As in `variants.SmallComparison`, with two differences:
- the answer gets a copy of the inputs, and what it gives out one by one is collected;
- a hint that names no mistake shows the smallest input on which the answer is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from course_utils.exercises.checking import Hint
from course_utils.exercises.comparing import TIPS, Inputs, Outputs, Run
from course_utils.exercises.variants import SmallComparison

MOST = 1000  # things that an answer may give out one by one

VALUE_TIPS = (
    (r"changed size|keys changed", "you change a dict while you go over it: over a copy, perhaps?"),
    (r"IndexError", "what stands to the right of the last one, and how far does your loop run?"),
    (
        r"item assignment|item deletion|object has no attribute '(append|insert|pop|remove)'",
        "a tuple and a str cannot be changed: can you put together a new list instead?",
    ),
    (r"unhashable", "a list cannot be a key of a dict: do you know tuple(...)?"),
    (r"KeyError", "the dict has no such key yet: do you know collections.Counter, or get(key, 0)?"),
    (r"empty", "nothing is left to choose from: when should your loop end?"),
    (r"concatenate|unsupported operand", "which type stands on each side of the operator?"),
)


def collected(result: Any, given: Inputs) -> Any:
    """What a generator gives out, as a list; anything else as it is."""
    return up_to_most(result) if isinstance(result, Iterator) else result


def up_to_most(result: Iterable[Any]) -> list[Any]:
    """A list, unless it has no end in sight.

    Raises
    ------
    Hint
    """
    things = [*islice(result, MOST + 1)]
    if len(things) > MOST:
        raise Hint(f"more than {MOST} things came back, one by one: where does your loop end?")
    return things


@dataclass(frozen=True, kw_only=True)
class ValueComparison(SmallComparison):
    """A judge that compares values with the right ones.

    Parameters
    ----------
    value : callable
        `value(result)` gives what is compared, always of the same type, or raises Hint.
    give : callable, optional
        `give(*inputs)` makes what the answer is called with; by default a copy of the inputs.
    collect : callable, optional
        `collect(result, given)`; what goes wrong in it is an error of the answer.
    differing : callable, optional
        `differing(got, right)` gives the parts of both that are worth showing.
    others
        As in `Comparison`, with one output.
    """

    value: Callable[[Any], Any]
    give: Callable[..., Inputs] | None = None
    collect: Callable[[Any, Inputs], Any] = collected
    differing: Callable[[Any, Any], tuple[Any, Any]] | None = None

    common_tips: ClassVar[tuple[tuple[str, str], ...]] = TIPS + VALUE_TIPS
    harder: ClassVar[str] = "what is new in this one?"

    def _run(self, answer: Callable[..., Any], inputs: Inputs) -> Run:
        given = self.give(*inputs) if self.give else deepcopy(inputs)
        run = super()._run(lambda *_: self.collect(answer(*given), given), inputs)
        named = zip(self.parameters, inputs, given, strict=True)
        changed = () if self.give else tuple(name for name, x, now in named if x != now)
        return replace(run, changed=changed)

    def _read(self, result: Any, inputs: Inputs) -> Outputs:
        if result is None:
            wanted = next(iter(self.outputs))
            raise Hint(f"your function returned nothing: does it end with `return {wanted}`?")
        return (self.value(result),)

    def _describe(self, run: Run) -> str:
        named = zip(self.parameters, run.inputs, strict=True)
        return ", ".join(f"{name} = {shown(x)}" for name, x in named)

    def _difference(self, run: Run, expected: Outputs) -> str:
        got, right = run.outputs[0], expected[0]
        hint = self.diagnose(run.inputs, run.outputs, expected) if self.diagnose else None
        if self.differing:
            got, right = self.differing(got, right)
        return (
            f"for {self._describe(run)} you give {shown(got)}, expected {shown(right)}: "
            f"{hint or 'can you do this one by hand?'}"
        )


# ---- values that several exercises give back


def shown(value: Any) -> str:
    """As Python writes it; the replacement character can look like anything, so it gets a name."""
    return repr(value).replace("\ufffd", "\\ufffd")


def symbols(result: Any) -> list[str]:
    """A list or tuple of strings, as a list.

    Raises
    ------
    Hint
        When it is something else.
    """
    if isinstance(result, str | bytes):
        raise Hint(
            f"one {type(result).__name__} came back, {shown(result)}: can you return a list?"
        )
    if not isinstance(result, list | tuple):
        raise Hint(f"one {type(result).__name__} came back: can you return a list of strings?")
    for number, symbol in enumerate(result):
        if isinstance(symbol, tuple | list):
            raise Hint(
                f"symbol {number} of your result is {shown(symbol)}, a pair still: which operator "
                "makes one str of its two?"
            )
        if not isinstance(symbol, str):
            raise Hint(f"symbol {number} of your result is {shown(symbol)}: what should be a str?")
    return list(result)


def pair(thing: Any, what: str) -> tuple[str, str]:
    """A pair of strings, as a tuple; `what` names it in the hint.

    Raises
    ------
    Hint
        When it is something else.
    """
    two = isinstance(thing, tuple | list) and len(thing) == 2
    if not two or not all(isinstance(symbol, str) for symbol in thing):
        raise Hint(
            f"{what} is {shown(thing)}, expected a pair of symbols such as ('a', 't'): "
            "where do its two symbols get lost?"
        )
    return tuple(thing)
