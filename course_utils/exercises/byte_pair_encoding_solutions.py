"""Solutions of the exercises of lesson 3, written to be read.

Sources: Sennrich, Haddow and Birch 2016, Neural Machine Translation of Rare Words with Subword
Units, section 3.2; the order of equally frequent pairs is that of the library `tokenizers`.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

Pair = tuple[str, str]


def pair_counts(words: Mapping[tuple[str, ...], int]) -> Counter[Pair]:
    """Exercise 03.1: how often each two symbols stand side by side.

    Parameters
    ----------
    words : mapping of tuples of str to int
        A word as its symbols -> how often it occurs.

    Returns
    -------
    Counter of pairs of str

    Examples
    --------
    >>> pair_counts({("a", "t"): 2, ("a", "a", "a"): 1})
    Counter({('a', 't'): 2, ('a', 'a'): 2})
    """
    counts: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def merge(symbols: Sequence[str], pair: Pair) -> tuple[str, ...]:
    """Exercise 03.2: all occurrences of a pair become one symbol, from left to right.

    Parameters
    ----------
    symbols : sequence of str
    pair : pair of str

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> merge(("b", "a", "n", "a", "n", "a"), ("n", "a"))
    ('b', 'a', 'na', 'na')
    >>> merge(("a", "a", "a"), ("a", "a"))
    ('aa', 'a')
    """
    merged, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == tuple(pair):
            merged.append(pair[0] + pair[1])
            i += 2  # past both
        else:
            merged.append(symbols[i])
            i += 1
    return tuple(merged)


def train(word_counts: Mapping[str, int], num_merges: int) -> list[Pair]:
    """Exercise 03.3: learn merges, the most frequent pair first.

    Parameters
    ----------
    word_counts : mapping of str to int
        A word -> how often it occurs.
    num_merges : int
        Fewer come back when no pair is left.

    Returns
    -------
    list of pairs of str
        Of equally frequent pairs the one whose first symbol comes first in the vocabulary, then
        the one whose second symbol does.

    Examples
    --------
    >>> train({"mat": 5, "mats": 2, "ate": 3}, 2)
    [('a', 't'), ('m', 'at')]
    """
    words = {tuple(word): count for word, count in word_counts.items()}
    vocabulary = {symbol: i for i, symbol in enumerate(sorted(set("".join(word_counts))))}
    merges: list[Pair] = []
    while len(merges) < num_merges and (counts := pair_counts(words)):
        best = min(counts, key=lambda p: (-counts[p], vocabulary[p[0]], vocabulary[p[1]]))
        merges.append(best)
        vocabulary.setdefault(best[0] + best[1], len(vocabulary))
        words = {merge(word, best): count for word, count in words.items()}
    return merges


def encode(word: str, merges: Sequence[Pair]) -> list[str]:
    """Exercise 03.4: cut a word into pieces.

    Parameters
    ----------
    word : str
    merges : sequence of pairs of str
        In the order learned.

    Returns
    -------
    list of str

    Examples
    --------
    >>> encode("mates", [("a", "t"), ("m", "at"), ("at", "e")])
    ['mat', 'e', 's']
    """
    rank = {pair: i for i, pair in enumerate(merges)}
    pieces = tuple(word)
    while found := [pair for pair in pairwise(pieces) if pair in rank]:
        pieces = merge(pieces, min(found, key=rank.__getitem__))
    return list(pieces)


def stream(tokens: Iterable[bytes]) -> Iterator[str]:
    """Exercise 03.5: text as soon as its characters are whole.

    Parameters
    ----------
    tokens : iterable of bytes
        Pieces of UTF-8, which may begin and end inside a character.

    Yields
    ------
    str
        The characters that have become whole; U+FFFD for bytes that never can.

    Examples
    --------
    >>> list(stream([b"caf", b"\\xc3", b"\\xa9!"]))
    ['caf', 'é!']
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # keeps what is half
    for token in tokens:
        if text := decoder.decode(token):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest
