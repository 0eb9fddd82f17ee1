"""Check of the exercise on counting pairs of neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from numbers import Real
from operator import add
from typing import Any

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.values import ValueComparison, pair, shown
from course_utils.exercises.variants import variants

Word = tuple[str, ...]


def _cases() -> list[Inputs]:
    toy = {"cat": 4, "mat": 5, "mats": 2, "mate": 3, "ate": 3, "eat": 2}
    cases = [
        {("a", "t"): 1},
        {("a", "t"): 3},
        {("a", "t"): 3, ("a", "t", "e"): 2},
        {("t", "e", "a"): 2},
        {("a", "a", "a"): 1},
        {("a", "b", "a", "b"): 2},
        {("m", "at", "s"): 2, ("ma", "t", "s"): 3},
        {("e",): 7, ("a", "t"): 1, ("t", "a"): 1},
        {tuple(word): count for word, count in toy.items()},
        {},
    ]
    return [(words,) for words in cases]


def _read(result: Any) -> dict[tuple[str, str], Real]:
    if not isinstance(result, Mapping):
        raise Hint(
            f"one {type(result).__name__} came back, expected a dict or a Counter: pair -> count. "
            "What does your last line return?"
        )
    for count in result.values():
        if not isinstance(count, Real):
            raise Hint(f"a value of your dict is {shown(count)}: is every count one number?")
    return {pair(key, "a key of your dict"): count for key, count in result.items() if count != 0}


def _differing(got: dict, right: dict) -> tuple[dict, dict]:
    wrong = {key for key in {**got, **right} if got.get(key, 0) != right.get(key, 0)}
    return tuple({k: n for k, n in counts.items() if k in wrong} for counts in (got, right))


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    got, right = outputs[0], expected[0]
    if got.keys() - right.keys():
        return "(only what differs is shown) do these two symbols stand side by side in a word?"
    if right.keys() - got.keys():
        return "(only what differs is shown) a pair is missing in yours. Does your loop get there?"
    return (
        "(only what differs is shown) in which words does such a pair stand, how often in each, "
        "and how often does each word occur?"
    )


# ---- known mistakes: one count with parts to exchange


def _as_given(thing: Any) -> Any:
    return thing


def _count(
    words: Mapping[Word, int],
    *,
    text: Callable[[Mapping[Word, int]], Mapping[Word, int]] = _as_given,
    symbols: Callable[[Word], Iterable[str]] = _as_given,
    neighbours: Callable[[Any], Iterable[tuple[str, str]]] = pairwise,
    order: Callable[[tuple[str, str]], Iterable[str]] = _as_given,
    weight: Callable[[int], int] = _as_given,
    together: Callable[[int, int], int] = add,
) -> dict[tuple[str, str], int]:
    """The right count, but for the parts that are given."""
    counts: dict[tuple[str, str], int] = {}
    for word, count in text(words).items():
        for two in neighbours(symbols(word)):
            key = tuple(order(two))
            counts[key] = together(counts.get(key, 0), weight(count))
    return counts


def _one_after_the_other(words: Mapping[Word, int], repeat: bool = False) -> dict[Word, int]:
    times = words.values() if repeat else [1] * len(words)
    return {sum((word * n for word, n in zip(words, times, strict=True)), ()): 1}


def without_overlap(word: Sequence[str]) -> list[tuple[str, str]]:
    """Counts a a a once: a mistake here and in learning."""
    found, free = [], 0
    for i, two in enumerate(pairwise(word)):
        if i < free and two == found[-1]:
            continue
        found, free = [*found, two], i + 2
    return found


_MISTAKES = variants(
    _count,
    (
        "each word counts once: a word that occurs 5 times brings each of its pairs 5 times. "
        "Where do you use the number that stands beside the word?",
        {"weight": lambda count: 1},
    ),
    (
        "a pair counts once for each word, but it may stand in a word twice, as in b a n a n a: "
        "do you collect the pairs in a set?",
        {"neighbours": lambda word: {*pairwise(word)}},
        {"neighbours": lambda word: {*pairwise(word)}, "weight": lambda count: 1},
    ),
    (
        "a a a holds the pair (a, a) twice here: symbols 1 and 2, symbols 2 and 3. "
        "Where do you jump over one?",
        {"neighbours": without_overlap},
    ),
    (
        "you go through the word in steps of two: in c a t, (a, t) is a pair, too. "
        "How far is it from one pair to the next?",
        {"neighbours": lambda word: zip(word[::2], word[1::2], strict=False)},
    ),
    (
        "the last pair of each word is missing: a word of n symbols has n - 1 pairs. "
        "Where does your loop end?",
        {"neighbours": lambda word: pairwise(word[:-1])},
    ),
    (
        "the first pair of each word is missing: where does your loop begin?",
        {"neighbours": lambda word: pairwise(word[1:])},
    ),
    (
        "the last symbol of a word makes a pair with the first: in Python, index -1 is the last "
        "one. Which index should your loop begin with?",
        {"neighbours": lambda word: zip((word[-1], *word), word, strict=False)},
        {"neighbours": lambda word: zip(word, (*word[1:], word[0]), strict=True)},
    ),
    (
        "you count all pairs of a word: only neighbours count. Which two symbols stand side by "
        "side?",
        {"neighbours": lambda word: combinations(word, 2)},
    ),
    (
        "you leave one symbol out between the two: which index follows i?",
        {"neighbours": lambda word: zip(word, word[2:], strict=False)},
    ),
    (
        "the order of the two symbols is lost: (a, t) and (t, a) are two pairs. "
        "Do you sort them, or use a set?",
        {"order": sorted},
    ),
    ("left and right are exchanged: which of the two comes first?", {"order": reversed}),
    (
        "you count pairs of characters: a symbol may be longer, as at in m at s. "
        "Do you put the symbols together before you count?",
        {"symbols": "".join},
    ),
    (
        "pairs reach across the end of a word: the last symbol of one and the first of the next "
        "are no pair. Do you count in each word by itself?",
        {"text": _one_after_the_other},
        {"text": lambda words: _one_after_the_other(words, repeat=True)},
    ),
    (
        "a later word overwrites the count of an earlier one: how do you add to what is there?",
        {"together": lambda old, new: new},
        {"together": lambda old, new: new, "weight": lambda count: 1},
    ),
    (
        "of the words that hold a pair only the most frequent counts: do you add up?",
        {"together": max},
    ),
    (
        "each count is 1 too large: what do you start from when a pair is new?",
        {"together": lambda old, new: (old or 1) + new},
    ),
)

PAIR_COUNTS = Exercise(
    name="03.1",
    title="Count pairs",
    judge=ValueComparison(
        parameters=("words",),
        outputs={"counts": "pair -> number"},
        solution=solutions.pair_counts,
        cases=_cases,
        value=_read,
        differing=_differing,
        diagnose=_diagnose,
    ),
    mistakes=_MISTAKES,
)
