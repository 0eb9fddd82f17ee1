"""Check of the exercise on learning merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, pairwise
from typing import Any

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint, Mistake
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.pair_counts import without_overlap
from course_utils.exercises.values import ValueComparison, pair, shown
from course_utils.exercises.variants import variants

Pair = tuple[str, str]


def _cases() -> list[Inputs]:
    toy = {"cat": 4, "mat": 5, "mats": 2, "mate": 3, "ate": 3, "eat": 2}
    return [
        ({"at": 1}, 1),
        ({"at": 2, "be": 3}, 1),
        ({"be": 2, "at": 2}, 1),  # equal: not the one that is met first
        ({"at": 2, "be": 2}, 1),  # nor the last
        ({"za": 2, "zb": 2, "yb": 2, "ya": 2}, 2),  # the left symbol counts more
        ({"cat": 2, "at": 1}, 2),
        ({"ata": 1, "ate": 1, "eta": 2}, 3),
        ({"aaa": 2, "be": 3}, 2),
        ({"aaaa": 2, "aab": 1}, 3),
        ({"baba": 2, "cd": 3}, 1),
        ({"ab": 3, "xabd": 2, "xce": 2}, 4),
        ({"bcd": 2, "ce": 2, "bc": 1, "cf": 1}, 3),  # bc comes after all characters: c e first
        ({"at": 1, "t": 5}, 4),  # nothing is left
        (toy, 8),
        (toy, 0),
        ({}, 2),
    ]


def _read(result: Any) -> list[Pair]:
    if not isinstance(result, list | tuple):
        raise Hint(f"one {type(result).__name__} came back: can you return the list of pairs?")
    return [pair(two, f"merge {number} of your list") for number, two in enumerate(result)]


# ---- known mistakes: one training with parts to exchange


def _key(count: int, two: Pair, vocabulary: dict[str, int]) -> tuple:
    return -count, vocabulary[two[0]], vocabulary[two[1]]


def _train(
    word_counts: Mapping[str, int],
    num_merges: int,
    *,
    key: Callable[[int, Pair, dict[str, int]], Any] = _key,
    weight: Callable[[int], int] = lambda count: count,
    neighbours: Callable[[tuple[str, ...]], Iterable[Pair]] = pairwise,
    alphabet: Callable[[Iterable[str]], Iterable[str]] = lambda letters: sorted({*letters}),
    merge: Callable[[tuple[str, ...], Pair], tuple[str, ...]] = solutions.merge,
    least: int = 1,
    more: int = 0,
    end: str = "",
    unlike: bool = False,
) -> list[Pair]:
    """The right training, but for the parts that are given.

    `key` puts the pairs in order, `least` is the smallest count, `more` are merges too many, `end`
    marks the end of a word; with `unlike` no pair is merged twice.
    """
    ends = (end,) if end else ()
    words = {(*word, *ends): weight(count) for word, count in word_counts.items()}
    letters = alphabet(chain.from_iterable(words))
    vocabulary = {letter: i for i, letter in enumerate(dict.fromkeys(letters))}
    merges: list[Pair] = []
    while len(merges) < num_merges + more:
        counts: Counter[Pair] = Counter()
        for word, count in words.items():
            for two in neighbours(word):
                counts[two] += count
        left = {t: n for t, n in counts.items() if n >= least and not (unlike and t in merges)}
        if not left:
            break
        best = min(left, key=lambda two: key(left[two], two, vocabulary))
        merges.append(best)
        vocabulary.setdefault("".join(best), len(vocabulary))
        words = {merge(word, best): count for word, count in words.items()}
    return merges


def _counted_once(word_counts: Mapping[str, int], num_merges: int) -> list[Pair]:
    """The most frequent pairs of the beginning, without counting again."""
    counts = solutions.pair_counts({tuple(word): n for word, n in word_counts.items()})
    vocabulary = {letter: i for i, letter in enumerate(sorted({*"".join(word_counts)}))}
    return sorted(counts, key=lambda two: _key(counts[two], two, vocabulary))[:num_merges]


def _across(word_counts: Mapping[str, int], num_merges: int) -> list[Pair]:
    """One long row of all words."""
    return solutions.train({"".join(word * n for word, n in word_counts.items()): 1}, num_merges)


def first_only(word: tuple[str, ...], two: Pair) -> tuple[str, ...]:
    """Merges one occurrence: a mistake here and in encoding."""
    for i, neighbours in enumerate(pairwise(word)):
        if neighbours == two:
            return (*word[:i], "".join(two), *word[i + 2 :])
    return word


def _vocabulary_first(word_counts: Mapping[str, int], num_merges: int) -> list[Pair]:
    """Takes the characters for merges that are made already."""
    letters = len({*"".join(word_counts)})
    return solutions.train(word_counts, max(num_merges - letters, 0))


_TIE = "of equally frequent pairs you take "
_RULE = "Which comes first in the vocabulary: the characters in sorted order, then the merges?"

_MISTAKES = (
    *variants(
        _train,
        (
            "each word counts once: its pairs occur as often as the word does. "
            "Where do you use the number beside the word?",
            {"weight": lambda count: 1},
        ),
        (
            "the rarest pair comes first: should your min be a max, or a sign change?",
            {"key": lambda n, two, v: (n, v[two[0]], v[two[1]])},
            {"key": lambda n, two, v: n},
        ),
        (
            f"{_TIE}the one that you met first, as max of a dict and most_common do. {_RULE}",
            {"key": lambda n, two, v: -n},
        ),
        (
            f"{_TIE}the one that comes last in the vocabulary, as max of (count, pair) does. "
            "Which of the two directions must turn round: that of the count, or of the symbols?",
            {"key": lambda n, two, v: (-n, -v[two[0]], -v[two[1]])},
            {"key": lambda n, two, v: (-n, *([-ord(c) for c in s] + [0] for s in two))},
        ),
        (
            f"{_TIE}the first in the alphabet, but a merged token comes after all characters, and "
            f"bc after c. {_RULE}",
            {"key": lambda n, two, v: (-n, two)},
            {"key": lambda n, two, v: (-n, "".join(two))},
        ),
        (
            f"{_TIE}the one with the smaller right symbol. Which symbol decides first, and which "
            "only when the first ones are equal?",
            {"key": lambda n, two, v: (-n, v[two[1]], v[two[0]])},
        ),
        (
            "equally frequent pairs: your characters stand in the order in which they turn up. "
            "What do you sort before the first merge?",
            {"alphabet": lambda letters: letters},
        ),
        (
            "your words do not change: the pair that you chose must become one symbol in all "
            "words. Do you keep what the merge gives back?",
            {"merge": lambda word, two: word},
            {"merge": lambda word, two: word, "key": lambda n, two, v: -n},
        ),
        (
            "in a word only the first occurrence of the pair is merged: does yours of 03.2 go on?",
            {"merge": first_only},
        ),
        (
            "you stop at pairs that occur once: the exercise stops when no pair is left. "
            "Which count do you compare with?",
            {"least": 2},
        ),
        (
            "a pair counts once for each word, but it may stand in a word twice. Do you collect "
            "the pairs in a set?",
            {"neighbours": lambda word: {*pairwise(word)}},
        ),
        (
            "a a a holds the pair (a, a) twice when pairs are counted: does yours of 03.1 jump "
            "over one?",
            {"neighbours": without_overlap},
        ),
        (
            "there is one merge too many: how often does your loop run for num_merges = 1?",
            {"more": 1},
        ),
        (
            "there is one merge too few: how often does your loop run for num_merges = 1?",
            {"more": -1},
        ),
        (
            "you put a mark at the end of each word, as the paper does: here a word is its "
            "characters only. Where does the mark come in?",
            {"end": "</w>"},
            {"end": "_"},
        ),
        (
            "longer pairs go first: the exercise asks for the most frequent, whatever its length. "
            "What does your max compare?",
            {"key": lambda n, two, v: (-len("".join(two)), *_key(n, two, v))},
            {"key": lambda n, two, v: (-n, -len("".join(two)), v[two[0]], v[two[1]])},
            {"key": lambda n, two, v: (-n * len("".join(two)), two)},
            {"key": lambda n, two, v: (-n * len("".join(two)), v[two[0]], v[two[1]])},
        ),
    ),
    Mistake(
        "you count once and take the most frequent pairs of the beginning: after a merge there are "
        "new pairs, and old ones are rarer. What must your loop do again each time?",
        _counted_once,
    ),
    Mistake(
        "pairs reach across the end of a word: do you keep each word by itself?",
        _across,
    ),
    Mistake(
        "num_merges counts merges, not tokens: why do you take the characters off?",
        _vocabulary_first,
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    got, right = outputs[0], expected[0]
    k = next((k for k, two in enumerate(zip(got, right, strict=False)) if two[0] != two[1]), None)
    if k is None:
        if len(got) > len(right):
            return f"the first {len(right)} of yours are all there is. When should your loop end?"
        return f"yours are right, but end after {len(got)}. Why does your loop end there?"
    words = {tuple(word): count for word, count in inputs[0].items()}
    for two in right[:k]:
        words = {solutions.merge(word, two): count for word, count in words.items()}
    counts = solutions.pair_counts(words)
    yours, best = counts[got[k]], counts[right[k]]
    now = " ".join(f"{' '.join(word)} ({count})" for word, count in words.items())
    start = f"merge {k} (counted from 0) differs. Before it the words are {now}. "
    if yours == best:
        return (
            f"{start}The count of {shown(got[k])} and of {shown(right[k])} is {best}. Which comes "
            "first in the vocabulary, by its left symbol, then by its right one?"
        )
    return (
        f"{start}The count of {shown(right[k])} is {best}, that of {shown(got[k])} is {yours}. "
        "What do you count, and are your words merged as these are?"
    )


LEARN_MERGES = Exercise(
    name="03.3",
    title="Learn the merges",
    judge=ValueComparison(
        parameters=("word_counts", "num_merges"),
        outputs={"merges": "pairs"},
        solution=solutions.train,
        cases=_cases,
        value=_read,
        diagnose=_diagnose,
    ),
    mistakes=_MISTAKES,
)
