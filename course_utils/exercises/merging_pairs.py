"""Check of the exercise on merging one pair in a word."""

from __future__ import annotations

import re
from collections.abc import Callable

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.exercises.checking import Exercise, Mistake
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.values import ValueComparison, symbols
from course_utils.exercises.variants import variants

Word = tuple[str, ...]
Pair = tuple[str, str]


def _cases() -> list[Inputs]:
    at = ("a", "t")
    return [
        (("a", "t"), at),
        (("a",), at),
        (("c", "a", "t"), at),
        (("a", "t", "e"), at),
        (("t", "a"), at),
        (("a", "c", "t"), at),
        (("a", "t", "a", "t"), at),
        (("a", "t", "e", "a", "t", "s"), at),
        (("a", "a", "a"), ("a", "a")),
        (("a", "a", "a", "a", "a"), ("a", "a")),
        (("m", "at", "s"), ("m", "at")),
        (("b", "at", "e"), at),
        (("sa", "t", "e"), at),
        (("a", "ti"), at),
        (("ma", "te"), ("m", "ate")),
        (("a", "t", "t"), at),
        (("a", "a", "t", "a"), at),
        (("b", "a", ".", "a"), (".", "a")),
        ((), at),
    ]


# ---- known mistakes: one merge with parts to exchange


def _exact(left: str, right: str, pair: Pair) -> bool:
    return (left, right) == pair


def _merge(
    word: Word,
    pair: Pair,
    *,
    hit: Callable[[str, str, Pair], bool] = _exact,
    new: Callable[[str, str], tuple[str, ...]] = lambda left, right: (left + right,),
    of_pair: bool = False,
    step: int = 2,
    at_most: int | None = None,
    backwards: bool = False,
    rest: bool = True,
) -> tuple[str, ...]:
    """The right merge, but for the parts that are given.

    `new` makes the symbol of what was found, with `of_pair` of the pair; not more than `at_most`
    are merged; without `rest` the last symbol gets lost.
    """
    if backwards:
        word, pair = word[::-1], pair[::-1]
    merged, i, found = [], 0, 0
    while i < len(word):
        two = word[i : i + 2]
        if len(two) == 2 and found != at_most and hit(*two, pair):
            two = pair if of_pair else two
            merged += new(*(two[::-1] if backwards else two))
            i, found = i + step, found + 1
        else:
            merged += two[:1] if rest or len(two) == 2 else ()
            i += 1
    return tuple(merged[::-1] if backwards else merged)


def _in_the_spelling(word: Word, pair: Pair) -> list[str]:
    """Replaces the characters of the pair wherever they stand, spaces between the symbols."""
    return " ".join(word).replace(" ".join(pair), "".join(pair)).split()


def _by_a_pattern(word: Word, pair: Pair) -> list[str]:
    """As in the paper, but a symbol such as . is read as a part of the pattern."""
    return re.sub(rf"(?<!\S){' '.join(pair)}(?!\S)", "".join(pair), " ".join(word)).split()


def _in_characters(word: Word, pair: Pair) -> list[str]:
    """Forgets the symbols: the pair's characters become one, all others stand alone."""
    parts = "".join(word).split("".join(pair))
    found = [*parts[0]]
    for part in parts[1:]:
        found += ["".join(pair), *part]
    return found


_IN_SPELLING = (
    "you search in the spelling, not in the symbols: the t of (b, at, t) or the a of (sa, t) is "
    "not a symbol of its own. Can you compare symbol by symbol, without join and replace?"
)

_MISTAKES = (
    *variants(
        _merge,
        (
            "only the first occurrence is merged: when does your loop end?",
            {"at_most": 1},
        ),
        (
            "only the last occurrence is merged: what becomes of the ones before it?",
            {"at_most": 1, "backwards": True},
        ),
        (
            "you merge from right to left: a a a should become (aa, a), not (a, aa). "
            "Which end do you begin at?",
            {"backwards": True},
        ),
        (
            "a symbol is used twice: after a merge its right half is still there. "
            "How far do you go on after a merge?",
            {"step": 1},
        ),
        (
            "the last symbol gets lost when it is not merged: how far does your loop run?",
            {"rest": False},
        ),
        (
            "the pair disappears: which symbol takes its place?",
            {"new": lambda left, right: ()},
        ),
        (
            "of the pair only one half is left: does the new symbol hold both?",
            {"new": lambda left, right: (left,)},
            {"new": lambda left, right: (right,)},
        ),
        (
            "the new symbol is put together in the wrong order: which of the two comes first?",
            {"new": lambda left, right: (right + left,)},
        ),
        (
            "there is a space or another sign inside the new symbol: which str do you join with?",
            {"new": lambda left, right: (left + " " + right,)},
            {"new": lambda left, right: (left + "_" + right,)},
            {"new": lambda left, right: (left + "-" + right,)},
            {"new": lambda left, right: (left + "+" + right,)},
        ),
        (
            "both halves are still there beside the new symbol: what does a merge take away?",
            {"new": lambda left, right: (left + right, left, right)},
            {"new": lambda left, right: (left, right, left + right)},
        ),
        (
            "nothing is merged: do you compare two symbols with the pair, and are both tuples?",
            {"at_most": 0},
        ),
        (
            "you merge the two symbols in either order: is (t, a) the pair (a, t)?",
            {"hit": lambda left, right, pair: (left, right) in (pair, pair[::-1])},
            {"hit": lambda left, right, pair: {left, right} == {*pair}, "of_pair": True},
        ),
        (
            "you look at the left symbol only: must the right one fit, too?",
            {"hit": lambda left, right, pair: left == pair[0]},
            {"hit": lambda left, right, pair: left == pair[0], "of_pair": True},
        ),
        (
            "you look at the right symbol only: must the left one fit, too?",
            {"hit": lambda left, right, pair: right == pair[1]},
            {"hit": lambda left, right, pair: right == pair[1], "of_pair": True},
        ),
        (
            "two symbols are merged as soon as they spell the same as the pair: (ma, te) is not "
            "(m, ate). Do you compare symbols, or the str that they make?",
            {"hit": lambda left, right, pair: left + right == "".join(pair)},
        ),
    ),
    Mistake(_IN_SPELLING, _in_the_spelling),
    Mistake(_IN_SPELLING, _in_characters),
    Mistake(
        "a symbol such as . means something else in a regular expression: do you know re.escape?",
        _by_a_pattern,
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    (word, pair), got = inputs, outputs[0]
    if "".join(got) != "".join(word):
        return "put together, your symbols no longer spell the word. Which line loses or adds some?"
    odd = [symbol for symbol in got if symbol not in (*word, "".join(pair))]
    if odd:
        return f"where does {odd[0]!r} come from?"
    return None


MERGE_PAIR = Exercise(
    name="03.2",
    title="Merge one pair",
    judge=ValueComparison(
        parameters=("symbols", "pair"),
        outputs={"symbols": "list"},
        solution=solutions.merge,
        cases=_cases,
        value=symbols,
        diagnose=_diagnose,
    ),
    mistakes=_MISTAKES,
)
