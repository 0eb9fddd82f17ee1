"""Byte-pair encoding's two algorithms, made fast: learn the merges, and apply them.

Sennrich et al. 2016, "Neural machine translation of rare words with subword units", algorithm 1:
join the most frequent pair of neighbours everywhere, and again. Counting all pairs anew after each
merge costs merges x corpus. Here each merge touches only the words that hold its pair: the counts
of pairs are kept and corrected, an index says which words hold a pair, and a heap gives the most
frequent one.

**Ties.** Of equally frequent pairs the one with the smaller left id wins, then the smaller right
id: what is older in the vocabulary goes first. The library `tokenizers` does not document it; its
trainer orders its heap so (`impl Ord for Merge` in models/bpe/trainer.rs, version 0.23).

**No token is made twice.** `ab` + `c` and `a` + `bc` would make the same token; only one of the two
is ever learned. For the pieces of a token were never joined to a neighbour outside it, so the same
merges met the same bytes in the same order wherever the token stands. So a pair, once merged, never
comes back: its words can be forgotten.

A *word* below is one distinct pre-token as a list of token ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from random import Random
from typing import NamedTuple

from course_utils.tokenizers.pretokens import BYTE_TOKENS

Pair = tuple[int, int]


class Learned(NamedTuple):
    """What `learn_merges` found: tokens in the order of their ids, merges in the order learned."""

    tokens: list[bytes]
    merges: list[tuple[bytes, bytes]]


def learn_merges(
    counts: Mapping[bytes, int], num_tokens: int, *, progress: bool = False
) -> Learned:
    """Learn merges from counted pre-tokens until there are `num_tokens` tokens.

    Parameters
    ----------
    counts : mapping from bytes to int
        How often each distinct pre-token occurs.
    num_tokens : int
        Tokens wanted, the 256 bytes included. There are fewer when nothing is left to merge.
    progress : bool
        Show a progress bar in a terminal; lessons, logs and tests stay silent.

    Returns
    -------
    Learned
        The tokens (first the 256 bytes) and the merges, each a pair of tokens.

    Examples
    --------
    >>> learn_merges({b"cat": 4, b"mat": 5, b"mats": 2}, 258).merges
    [(b'a', b't'), (b'm', b'at')]
    """
    from tqdm import tqdm

    tokens, merges = list(BYTE_TOKENS), []
    ids = {token[0]: index for index, token in enumerate(tokens)}
    pairs = PairIndex([[ids[byte] for byte in word] for word in counts], list(counts.values()))
    wanted = range(len(tokens), num_tokens)
    for new in tqdm(wanted, desc="merges", disable=None if progress else True):
        pair = pairs.most_frequent()
        if pair is None:
            break
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        pairs.merge(pair, new)
    return Learned(tokens, merges)


class PairIndex:
    """The pairs of neighbours in words: how often each occurs, and where.

    Parameters
    ----------
    words : list of list of int
        Distinct words as ids; `merge` changes them.
    weights : list of int
        How often each word occurs.
    """

    def __init__(self, words: list[list[int]], weights: list[int]) -> None:
        self.words, self.weights = words, weights
        self.counts: dict[Pair, int] = defaultdict(int)
        self.places: dict[Pair, list[int]] = defaultdict(list)  # a word may stand there twice
        self.queue: list[tuple[int, Pair]] = []  # (-count, pair): the smallest comes first
        for place, (word, weight) in enumerate(zip(words, weights, strict=True)):
            for pair in pairwise(word):
                self.counts[pair] += weight
                self.places[pair].append(place)
        self._enqueue(self.counts)

    def _enqueue(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            if self.counts[pair] > 0:  # in one word a pair can come and go by the same merge
                heappush(self.queue, (-self.counts[pair], pair))

    def most_frequent(self) -> Pair | None:
        """Take the next pair from the queue; None when no word has two neighbours left.

        A count in the queue may be too high, as later merges took some of the pair's places. It is
        corrected when the pair comes up, which is cheaper than searching the queue at each merge.
        """
        while self.queue:
            negative, pair = heappop(self.queue)
            if self.counts[pair] == -negative:
                return pair
            self._enqueue([pair])
        return None

    def merge(self, pair: Pair, new: int) -> None:
        """Join the pair wherever it stands, and bring counts, places and queue up to date."""
        fresh = set()
        for place in set(self.places.pop(pair)):
            weight = self.weights[place]
            for changed, change in join(self.words[place], pair, new):
                self.counts[changed] += change * weight
                if change > 0:
                    self.places[changed].append(place)
                    fresh.add(changed)
        self._enqueue(fresh)


def join(word: list[int], pair: Pair, new: int) -> list[tuple[Pair, int]]:
    """Replace a pair in a word, from left to right; say which neighbours came (+1) and went (-1).

    Examples
    --------
    >>> word = [7, 1, 2, 8]
    >>> join(word, (1, 2), 9)
    [((7, 1), -1), ((7, 9), 1), ((2, 8), -1), ((9, 8), 1)]
    >>> word
    [7, 9, 8]
    """
    left, right = pair
    changes, at = [], 0
    while at < len(word) - 1:
        if word[at] == left and word[at + 1] == right:
            word[at : at + 2] = [new]
            if at > 0:
                changes += [((word[at - 1], left), -1), ((word[at - 1], new), 1)]
            if at + 1 < len(word):
                changes += [((right, word[at + 1]), -1), ((new, word[at + 1]), 1)]
        at += 1
    return changes


def apply_merges(
    ids: Sequence[int],
    merges: Mapping[Pair, tuple[int, int]],
    *,
    dropout: float = 0.0,
    rng: Random | None = None,
) -> list[int]:
    """Join neighbours, always the pair that was learned first, the leftmost of equal ones.

    Parameters
    ----------
    ids : sequence of int
        One pre-token: the ids of its bytes.
    merges : mapping from (left, right) to (rank, new id)
        Rank 0 was learned first.
    dropout : float
        Chance to leave out each possible merge, anew at every step (Provilkov et al. 2020,
        "BPE-dropout", algorithm 1).
    rng : random.Random, optional
        Needed for dropout.

    Examples
    --------
    >>> apply_merges([3, 1, 2], {(1, 2): (0, 4), (3, 4): (1, 5)})
    [5]
    """
    ids = [*ids, None]  # no merge has None: it ends the chain, and marks what was joined away
    after = [*range(1, len(ids)), 0]
    before = list(range(-1, len(ids) - 1))
    pairs = enumerate(pairwise(ids))
    queue = [(merges[pair][0], at) for at, pair in pairs if pair in merges]
    heapify(queue)
    dropped = []
    while queue:
        rank, at = heappop(queue)
        right = after[at]
        found = merges.get((ids[at], ids[right]))
        if found is None or found[0] != rank:
            continue  # the pair that stood here has gone
        if dropout and rng.random() < dropout:
            dropped.append((rank, at))
            continue
        ids[at], ids[right] = found[1], None
        after[at] = after[right]
        before[after[right]] = at
        for spot in (before[at], at):
            if new := merges.get((ids[spot], ids[after[spot]])):
                heappush(queue, (new[0], spot))
        while dropped:
            heappush(queue, dropped.pop())
    return [index for index in ids if index is not None]
