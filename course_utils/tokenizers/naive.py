"""Byte-pair encoding, the plain way: count all pairs, merge the most frequent one, count again.

Each merge reads all words once more, so the cost is merges x text: good for a lecture, hours for a
real text. A word is a tuple of symbols, and a symbol is a piece of text (or of bytes).

Of equally frequent pairs the one is taken whose left symbol stands first in the vocabulary, then
whose right symbol does. The vocabulary holds the characters in their sorted order, then one symbol
per merge. This is the rule of the `tokenizers` library (its ids, smallest first).

References
----------
Sennrich, Haddow and Birch 2016, Neural Machine Translation of Rare Words with Subword Units,
section 3.2; Gage 1994, A New Algorithm for Data Compression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

Text = TypeVar("Text", str, bytes)

TOY_CORPUS = {"cat": 4, "mat": 5, "mats": 2, "mate": 3, "ate": 3, "eat": 2}


def split_symbols(word: Text) -> tuple[Text, ...]:
    """The single characters (or bytes) of a word.

    Examples
    --------
    >>> split_symbols("mat"), split_symbols(b"mat")
    (('m', 'a', 't'), (b'm', b'a', b't'))
    """
    return tuple(word[k : k + 1] for k in range(len(word)))


def count_pairs(words: Mapping[tuple, int]) -> Counter[tuple]:
    """How often each two symbols stand side by side.

    Parameters
    ----------
    words : mapping of tuple to int
        The symbols of each word, and how often the word occurs.

    Returns
    -------
    Counter
        By pair. Overlapping pairs all count: `a a a` holds (a, a) twice, though only one of the
        two can be merged. The `tokenizers` library counts so, too.

    Examples
    --------
    >>> count_pairs({("c", "at"): 4, ("m", "at", "s"): 2, ("m", "at"): 5})
    Counter({('m', 'at'): 7, ('c', 'at'): 4, ('at', 's'): 2})
    """
    counts: Counter[tuple] = Counter()
    for symbols, count in words.items():
        for pair in pairwise(symbols):
            counts[pair] += count
    return counts


def merge_pair(symbols: tuple, pair: tuple) -> tuple:
    """Join each occurrence of a pair, from left to right; what is joined is not joined again.

    Examples
    --------
    >>> merge_pair(("m", "a", "t", "a", "t"), ("a", "t"))
    ('m', 'at', 'at')
    >>> merge_pair(("a", "a", "a"), ("a", "a"))
    ('aa', 'a')
    """
    merged, k = [], 0
    while k < len(symbols):
        if symbols[k : k + 2] == pair:
            merged.append(pair[0] + pair[1])
            k += 2
        else:
            merged.append(symbols[k])
            k += 1
    return tuple(merged)


@dataclass(frozen=True)
class MergeStep:
    """One merge of `merge_steps`, and what it leaves.

    Attributes
    ----------
    pair : tuple
        The two symbols that were joined.
    count : int
        How often they stood side by side.
    ties : tuple of tuple
        All pairs that were as frequent, `pair` first.
    words : dict
        The symbols of each word after the merge.
    vocabulary : tuple
        All symbols so far: the sorted characters, then those of the merges.
    """

    pair: tuple
    count: int
    ties: tuple[tuple, ...]
    words: dict
    vocabulary: tuple


def merge_steps(word_counts: Mapping[Text, int], num_merges: int) -> list[MergeStep]:
    """Learn merges from words, one at a time; the most frequent pair is next.

    Parameters
    ----------
    word_counts : mapping of str (or bytes) to int
        How often each word occurs, 1 or more.
    num_merges : int
        How many merges to make. There are fewer when all words are whole before that.

    Returns
    -------
    list of MergeStep
        In the order of the merges. They are those of the library's `BpeTrainer`.

    Raises
    ------
    ValueError
        When there are no words, a count is below 1, or `num_merges` is negative.

    Examples
    --------
    >>> steps = merge_steps(TOY_CORPUS, 4)
    >>> [("".join(step.pair), step.count) for step in steps]
    [('at', 19), ('mat', 10), ('cat', 4), ('ate', 3)]
    >>> steps[3].ties
    (('at', 'e'), ('mat', 'e'))
    >>> steps[3].words["mats"]
    ('mat', 's')
    """
    _check(word_counts, num_merges)
    words = {word: split_symbols(word) for word in word_counts}
    vocabulary = tuple(sorted({symbol for symbols in words.values() for symbol in symbols}))
    steps: list[MergeStep] = []
    while len(steps) < num_merges:
        counts = count_pairs({words[word]: count for word, count in word_counts.items()})
        if not counts:
            break
        most = max(counts.values())
        ids = {symbol: index for index, symbol in enumerate(vocabulary)}
        frequent = [pair for pair in counts if counts[pair] == most]
        ties = sorted(frequent, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        words = {word: merge_pair(symbols, ties[0]) for word, symbols in words.items()}
        # It is new: all texts "abc" are cut alike, so ab+c and a+bc are never both merged.
        vocabulary += (ties[0][0] + ties[0][1],)
        steps.append(MergeStep(ties[0], most, tuple(ties), words, vocabulary))
    return steps


def _check(word_counts: Mapping, num_merges: int) -> None:
    if not word_counts:
        raise ValueError("there are no words to learn from: give at least one word and its count")
    if wrong := [(word, count) for word, count in word_counts.items() if count < 1]:
        raise ValueError(f"a word occurs once or more, got {wrong[0][1]} for {wrong[0][0]!r}")
    if num_merges < 0:
        raise ValueError(f"num_merges is 0 or more, got {num_merges}")


def segment(word: Text, merges: Iterable[tuple[Text, Text]]) -> tuple[Text, ...]:
    """Cut a word into symbols: from its characters, apply the merges in the order learned.

    Examples
    --------
    >>> merges = [step.pair for step in merge_steps(TOY_CORPUS, 4)]
    >>> segment("team", merges), segment("matmate", merges)
    (('t', 'e', 'a', 'm'), ('mat', 'mat', 'e'))
    """
    symbols = split_symbols(word)
    for pair in merges:
        symbols = merge_pair(symbols, pair)
    return symbols
