"""Check of the exercise on two texts in one row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from numbers import Integral
from typing import Any

from torch import Tensor

from course_utils.exercises import masked_language_models_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.values import ValueComparison, shown
from course_utils.exercises.variants import variants

Lists = tuple[list[int], list[int]]
NAMES = ("ids", "segment_ids")


def _cases() -> list[Inputs]:
    return [
        ([7, 8], [9], 2, 3),
        ([5], [6, 7, 6, 8], 2, 3),
        ([4, 9, 4, 5], [5, 4, 9], 101, 102),  # as in BERT's own vocabulary
        ([0, 6], [6, 0], 2, 1),  # 0 is a token, too
        ([5], [5], 3, 2),
    ]


def _read(result: Any) -> Lists:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Hint(f"{_things(result)} came back, expected two lists: ids, segment_ids?")
    ids, segments = (_ints(name, x) for name, x in zip(NAMES, result, strict=True))
    return ids, segments


def _things(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"{len(result)} things"
    return f"one {type(result).__name__}"


def _ints(name: str, thing: Any) -> list[int]:
    if isinstance(thing, Tensor):
        raise Hint(f"{name} is a tensor, expected a list: do you know tolist?")
    if not isinstance(thing, list | tuple):
        raise Hint(f"{name} is {shown(thing)}, a {type(thing).__name__}: can it be a list of int?")
    for number, token in enumerate(thing):
        if isinstance(token, list | tuple):
            raise Hint(
                f"entry {number} of {name} is {shown(token)}, a list inside the list: what is the "
                "difference between append and extend, or between a and *a?"
            )
        if not isinstance(token, Integral) or isinstance(token, bool):
            raise Hint(f"entry {number} of {name} is {shown(token)}: what should be an int?")
    return [int(token) for token in thing]


# ---- known mistakes: one row of pieces, each with its segment, with parts to exchange

Pieces = Iterable[tuple[list[int], int]]


def _both(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    return first, second


def _pair(
    first: list[int],
    second: list[int],
    cls_id: int,
    sep_id: int,
    *,
    special: Callable[[int, int], tuple[int, int]] = lambda cls, sep: (cls, sep),
    texts: Callable[[list[int], list[int]], tuple[list[int], list[int]]] = _both,
    start: Callable[[int, int], Pieces] = lambda cls, sep: [([cls], 0)],
    middle: Callable[[int, int], Pieces] = lambda cls, sep: [([sep], 0)],
    end: Callable[[int, int], Pieces] = lambda cls, sep: [([sep], 1)],
    number: Callable[[int], int] = lambda segment: segment,
    give: Callable[[list[int], list[int], int], Lists] = lambda ids, segments, left: (
        ids,
        segments,
    ),
) -> Lists:
    """The right lists, but for the parts that are given."""
    two, (a, b) = special(cls_id, sep_id), texts(first, second)
    pieces = [*start(*two), (a, 0), *middle(*two), (b, 1), *end(*two)]
    ids = [token for piece, _ in pieces for token in piece]
    segments = [number(segment) for piece, segment in pieces for _ in piece]
    return give(ids, segments, len(a))


_OWN = -1  # a segment that is neither 0 nor 1

_MISTAKES = variants(
    _pair,
    (
        "the last [SEP] is missing: each of the two texts ends with one. What closes the second "
        "text?",
        {"end": lambda cls, sep: []},
    ),
    (
        "there is no [SEP] between the two texts: how could the model see where the first one "
        "ends?",
        {"middle": lambda cls, sep: []},
    ),
    (
        "the first [SEP] is in segment 1: it closes the first text. To which text does it belong?",
        {"middle": lambda cls, sep: [([sep], 1)]},
    ),
    (
        "the last [SEP] is in segment 0: it closes the second text. To which text does it belong?",
        {"end": lambda cls, sep: [([sep], 0)]},
    ),
    (
        "[CLS] has a segment of its own: there are two segments only, 0 and 1. In which of them "
        "does the row begin?",
        {"start": lambda cls, sep: [([cls], _OWN)], "number": lambda segment: segment + 1},
        {"start": lambda cls, sep: [([cls], 2)]},
    ),
    (
        "[CLS] is in segment 1: everything up to and with the first [SEP] is in segment 0. What "
        "stands before the first text?",
        {"start": lambda cls, sep: [([cls], 1)]},
    ),
    (
        "[SEP] has a segment of its own: there are two segments only, 0 and 1. Which text does "
        "each [SEP] close?",
        {"middle": lambda cls, sep: [([sep], 2)], "end": lambda cls, sep: [([sep], 2)]},
        {"middle": lambda cls, sep: [([sep], 1)], "end": lambda cls, sep: [([sep], 2)]},
    ),
    (
        "the segments have changed places: which number has the first text?",
        {"number": lambda segment: 1 - segment},
    ),
    (
        "your segments are 1 and 2: from which number does Python count?",
        {"number": lambda segment: segment + 1},
    ),
    (
        "all is in one segment: how does the model know which of the two texts a word stands in?",
        {"number": lambda segment: 0},
        {"number": lambda segment: 1},
    ),
    (
        "segment_ids is one shorter than ids: every token has a segment, [CLS] and both [SEP], "
        "too. Which one is not counted?",
        {"give": lambda ids, segments, left: (ids, segments[:-1])},
        {"give": lambda ids, segments, left: (ids, segments[1:])},
    ),
    (
        "segment_ids has entries for the words of the texts only: [CLS] and [SEP] are read as "
        "well. How many tokens has the whole row?",
        {"give": lambda ids, segments, left: (ids, [0] * left + [1] * (len(ids) - left - 3))},
    ),
    (
        "[CLS] is missing: the model looks for its answer about the whole row at the first place. "
        "What stands there?",
        {"start": lambda cls, sep: []},
    ),
    (
        "there is a second [CLS] before the second text: how many rows are there?",
        {"middle": lambda cls, sep: [([sep], 0), ([cls], 1)]},
    ),
    (
        "there are two [SEP] between the texts: RoBERTa does that, BERT does not. Which one goes?",
        {"middle": lambda cls, sep: [([sep], 0), ([sep], 1)]},
    ),
    (
        "[CLS] and [SEP] have changed places: which one opens the row?",
        {"special": lambda cls, sep: (sep, cls)},
    ),
    (
        "[CLS] stands between the texts, where [SEP] belongs: which token separates?",
        {"middle": lambda cls, sep: [([cls], 0)]},
    ),
    (
        "the second text stands first: in which order do the texts come?",
        {"texts": lambda first, second: (second, first)},
    ),
    (
        "the first text stands in both places: where does the second one go?",
        {"texts": lambda first, second: (first, first)},
    ),
    (
        "the two lists have changed places: do you `return ids, segment_ids`?",
        {"give": lambda ids, segments, left: (segments, ids)},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    got, right = outputs[0], expected[0]
    if got[0] == right[0]:
        if len(got[0]) != len(got[1]):
            lengths = len(got[0]), len(got[1])
            return "ids has {} entries, segment_ids has {}: which are missing?".format(*lengths)
        changes = sum(a != b for a, b in pairwise(got[1]))
        return (
            f"ids is right. Your segments change {changes} times on the way through the row: where "
            "is the one place where they should?"
        )
    counts = [x.count(inputs[3]) for x in (got[0], right[0])]
    if counts[0] != counts[1]:
        return "you have {} times [SEP], expected {}: where do they stand?".format(*counts)
    return "ids is not [CLS] first [SEP] second [SEP]: which is the first wrong token?"


PAIR = Exercise(
    name="05.1",
    title="Two texts in one row",
    judge=ValueComparison(
        parameters=("first", "second", "cls_id", "sep_id"),
        outputs={"ids, segment_ids": "lists"},
        solution=solutions.pair,
        cases=_cases,
        value=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"concatenate list|can only concatenate|unsupported operand",
                "a list plus a list is a list, and cls_id is one number: does [cls_id] help?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
