"""Unigram, the tokenizer of T5 and ALBERT: begin with too many pieces, drop the worst.

Each piece has a probability of its own, and those of a cut are multiplied: a score is a natural
logarithm, so scores are added. A word is cut in the most probable way (Viterbi), or drawn from all
ways (`sample`). Training looks for the probabilities that make the text most probable, counting all
ways to cut (expectation maximisation), and drops the pieces without which the text loses least.

Words begin with the mark `▁`, so that a text can be put together again: "▁a▁cat" is " a cat".

A word's lattice lists, for each position, the pieces that end there:

    lattice[end - 1] = [(start, score), ...]        start < end, earliest start first

References
----------
Kudo 2018, Subword Regularization, sections 3.2 and 3.3; Kudo and Richardson 2018, SentencePiece.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import SupportsInt

MARK = "▁"
UNKNOWN = "<unk>"
UNKNOWN_PENALTY = 10.0  # nats below the least probable piece
LEAST_COUNT = 0.01  # a piece that was never used keeps a small probability
EM_STEPS = 2  # before each pruning, as in SentencePiece

Lattice = list[list[tuple[int, float]]]


def split_marked(text: str) -> list[str]:
    """The words of a text, each with the mark before it.

    Examples
    --------
    >>> split_marked("a cat  sat")
    ['▁a', '▁cat', '▁sat']
    """
    return [MARK + word for word in text.split()]


def best_path(lattice: Lattice) -> tuple[float, list[int]]:
    """Viterbi: the score of the best cut, and the ends of its pieces.

    Of equal scores the last piece that begins first, the longest, wins.

    Examples
    --------
    >>> best_path([[(0, -1.0)], [(0, -2.5), (1, -1.0)]])
    (-2.0, [1, 2])
    """
    best, came_from = [0.0], [0]
    for arriving in lattice:
        score, start = max(
            ((best[start] + score, start) for start, score in arriving),
            key=lambda item: item[0],  # max takes the first of equal ones
        )
        best.append(score)
        came_from.append(start)
    ends = [len(lattice)] if lattice else []
    while ends and came_from[ends[0]] > 0:
        ends.insert(0, came_from[ends[0]])
    return best[-1], ends


def log_sum_exp(scores: list[float]) -> float:
    """log(exp(a) + exp(b) + ...): probabilities are added, without leaving the logarithms."""
    top = max(scores)
    return top + math.log(sum(math.exp(score - top) for score in scores))


def forward(lattice: Lattice, alpha: float = 1.0) -> list[float]:
    """For each position, the summed probability of all ways to get there, as a logarithm.

    Examples
    --------
    >>> total = forward([[(0, math.log(0.5))], [(0, math.log(0.1)), (1, math.log(0.5))]])[-1]
    >>> round(math.exp(total), 6)  # 0.1 + 0.5 * 0.5
    0.35
    """
    sums = [0.0]
    for arriving in lattice:
        sums.append(log_sum_exp([sums[start] + alpha * score for start, score in arriving]))
    return sums


def last_piece(
    lattice: Lattice, sums: list[float], end: int, alpha: float = 1.0
) -> list[tuple[int, float]]:
    """Where the piece that ends at a position begins: each start and its probability.

    `sums` is what `forward` gave for the same `alpha`.

    Examples
    --------
    >>> lattice = [[(0, math.log(0.5))], [(0, math.log(0.1)), (1, math.log(0.5))]]
    >>> [(start, round(p, 4)) for start, p in last_piece(lattice, forward(lattice), 2)]
    [(0, 0.2857), (1, 0.7143)]
    """
    return [
        (start, math.exp(sums[start] + alpha * score - sums[end]))
        for start, score in lattice[end - 1]
    ]


class UnigramTokenizer:
    """Words cut in their most probable way.

    Parameters
    ----------
    scores : mapping of str to float
        The pieces in the order of their ids, from 1, and their log-probabilities in nats.
        Id 0 is `<unk>`, an unknown character or several in a row.

    Raises
    ------
    ValueError
        When there is no piece, or one is empty or `<unk>`, or a score is not finite.

    Attributes
    ----------
    vocab : dict of int to str
        Piece by id.
    special_tokens : dict of str to int
        `<unk>` and its id.

    Examples
    --------
    >>> chances = {"▁": 0.1, "c": 0.1, "a": 0.1, "t": 0.1, "s": 0.1, "▁c": 0.2, "at": 0.3}
    >>> tokenizer = UnigramTokenizer({p: math.log(chance) for p, chance in chances.items()})
    >>> tokenizer.segment("▁cats")
    ['▁c', 'at', 's']
    >>> tokenizer.decode(tokenizer.encode("cat sat"))
    'cat sat'
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        self.scores = dict(scores)
        if not self.scores:
            raise ValueError("there are no pieces: give at least one and its score")
        if wrong := {p: s for p, s in self.scores.items() if not p or not math.isfinite(s)}:
            raise ValueError(f"a piece has letters and a finite score, got {wrong}")
        if UNKNOWN in self.scores:
            raise ValueError(f"{UNKNOWN} has id 0 by itself: leave it out of the pieces")
        self.vocab = dict(enumerate([UNKNOWN, *self.scores]))
        self.special_tokens = {UNKNOWN: 0}
        self._ids = {piece: index for index, piece in self.vocab.items()}
        self._longest = max(map(len, self.scores))
        self._unknown = min(self.scores.values()) - UNKNOWN_PENALTY

    def lattice(self, word: str) -> Lattice:
        """The pieces that end at each position of a word; an unknown character is one, too."""
        rows: Lattice = []
        for end in range(1, len(word) + 1):
            row = []
            for start in range(max(0, end - self._longest), end):
                score = self.scores.get(word[start:end])
                if score is None and start == end - 1:
                    score = self._unknown
                if score is not None:
                    row.append((start, score))
            rows.append(row)
        return rows

    def segment(self, word: str) -> list[str]:
        """The most probable pieces of a word; unknown characters in a row are one of them."""
        return self._cut(word, best_path(self.lattice(word))[1])

    def sample(self, word: str, alpha: float = 1.0, rng: random.Random | None = None) -> list[str]:
        """Draw a cut of a word, each with a chance of its probability to the power of alpha.

        Parameters
        ----------
        word : str
        alpha : float
            0: all cuts are equally likely; 1: as the model says; large: as `segment`.
        rng : random.Random, optional
            Where the chance comes from.

        Raises
        ------
        ValueError
            When `alpha` is negative or not finite.
        """
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha is 0 or more and finite, got {alpha}")
        lattice, draw = self.lattice(word), rng or random
        sums, ends, end = forward(lattice, alpha), [], len(word)
        while end > 0:  # from the end: how likely is it that the last piece began there?
            ends.insert(0, end)
            starts, chances = zip(*last_piece(lattice, sums, end, alpha), strict=True)
            end = draw.choices(starts, chances)[0]
        return self._cut(word, ends)

    def _cut(self, word: str, ends: list[int]) -> list[str]:
        pieces: list[str] = []
        known = True
        for start, end in zip([0, *ends], ends):  # noqa: B905 (the last end begins nothing)
            before, known = known, word[start:end] in self.scores
            if pieces and not known and not before:
                pieces[-1] += word[start:end]
            else:
                pieces.append(word[start:end])
        return pieces

    def tokens(self, text: str) -> list[str]:
        """The pieces of a text."""
        return [piece for word in split_marked(text) for piece in self.segment(word)]

    def encode(self, text: str) -> list[int]:
        """Ids of a text's pieces."""
        return [self._ids.get(piece, 0) for piece in self.tokens(text)]

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """Text of ids; white space has become single spaces, unknown characters `<unk>`.

        Raises
        ------
        ValueError
            When an id is not in the vocabulary.
        """
        ids = [int(index) for index in ids]
        if wrong := [index for index in ids if index not in self.vocab]:
            raise ValueError(f"id {wrong[0]} is outside the vocabulary of {len(self)} pieces")
        return "".join(self.vocab[index] for index in ids).replace(MARK, " ").removeprefix(" ")

    def __len__(self) -> int:
        return len(self.vocab)

    def log_likelihood(self, word_counts: Mapping[str, int]) -> float:
        """Log-probability of words in nats, summed over all ways to cut each of them."""
        return sum((n * forward(self.lattice(word))[-1] for word, n in word_counts.items()), 0.0)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        longest_piece: int = 16,
        seed_factor: int = 10,
        shrink: float = 0.75,
    ) -> UnigramTokenizer:
        """Learn pieces and their probabilities from texts.

        Parameters
        ----------
        texts : iterable of str
        vocab_size : int
            Number of pieces, `<unk>` included.
        longest_piece : int
            In characters.
        seed_factor : int
            How many times `vocab_size` pieces to begin with.
        shrink : float
            The part of the pieces that each pruning leaves.

        Raises
        ------
        ValueError
            When the texts hold no word, `vocab_size` is too small or too large for them, or
            `shrink` is not between 0 and 1.
        """
        if not 0 < shrink < 1:
            raise ValueError(f"shrink is between 0 and 1, got {shrink}")
        word_counts = Counter(word for text in texts for word in split_marked(text))
        if not word_counts:
            raise ValueError("there is no word to learn from: the texts are empty")
        size = vocab_size - 1
        model = cls(seed_pieces(word_counts, seed_factor * size, longest_piece))
        letters = {letter for word in word_counts for letter in word}
        if size < len(letters):
            raise ValueError(
                f"vocab_size {vocab_size} is too small: the {len(letters)} characters (with "
                f"{MARK}) and {UNKNOWN} take {len(letters) + 1}"
            )
        if size > len(model.scores):
            raise ValueError(
                f"the texts give {len(model)} pieces, not {vocab_size}: give more text, or ask "
                "for a smaller vocab_size"
            )
        while True:
            for _ in range(EM_STEPS):
                model = improve(model, word_counts)
            if len(model.scores) == size:
                return cls(dict(sorted(model.scores.items(), key=lambda item: (-item[1], item[0]))))
            model = prune(model, word_counts, max(size, int(shrink * len(model.scores))))


def seed_pieces(word_counts: Mapping[str, int], size: int, longest: int) -> dict[str, float]:
    """Pieces to begin with: all characters, and the parts of words that cover most of the text.

    The library's trainer looks at each different word once here, and misses a frequent word that
    is no part of another one.

    Examples
    --------
    >>> list(seed_pieces({"▁at": 2, "▁cat": 4}, 6, 16))  # 4 x 4 and 6 x 2 letters
    ['a', 'c', 't', '▁', '▁cat', 'at']
    """
    counts: Counter[str] = Counter()
    for word, count in word_counts.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + longest, len(word)) + 1):
                counts[word[start:end]] += count
    counts.pop(UNKNOWN, None)  # a text may say it, but it is no piece
    letters = sorted(part for part in counts if len(part) == 1)
    longer = [part for part, count in counts.items() if len(part) > 1 and count > 1]
    longer.sort(key=lambda part: (-counts[part] * len(part), part))
    kept = letters + longer[: max(0, size - len(letters))]
    total = sum(counts[part] * len(part) for part in kept)
    return {part: math.log(counts[part] * len(part) / total) for part in kept}


def expected_counts(model: UnigramTokenizer, word_counts: Mapping[str, int]) -> dict[str, float]:
    """E step: how often each piece is used, each cut of a word counting by its probability.

    Examples
    --------
    >>> model = UnigramTokenizer({"a": math.log(0.5), "t": math.log(0.5), "at": math.log(0.1)})
    >>> {piece: round(n, 4) for piece, n in expected_counts(model, {"at": 1}).items()}
    {'a': 0.7143, 't': 0.7143, 'at': 0.2857}
    """
    expected = dict.fromkeys(model.scores, 0.0)
    for word, count in word_counts.items():
        lattice = model.lattice(word)
        sums = forward(lattice)
        # Backwards: how many of the word's uses have a cut at each position.
        cuts = [0.0] * len(word) + [float(count)]
        for end in range(len(word), 0, -1):
            for start, chance in last_piece(lattice, sums, end):
                piece, share = word[start:end], cuts[end] * chance
                expected[piece] = expected.get(piece, 0.0) + share  # unknown characters, too
                cuts[start] += share
    return expected


def improve(model: UnigramTokenizer, word_counts: Mapping[str, int]) -> UnigramTokenizer:
    """One step of expectation maximisation: the text becomes more probable.

    Examples
    --------
    >>> words = {"▁at": 2, "▁cat": 4}
    >>> old = UnigramTokenizer(seed_pieces(words, 6, 16))
    >>> improve(old, words).log_likelihood(words) > old.log_likelihood(words)
    True
    """
    expected = expected_counts(model, word_counts)
    used = {piece: max(expected[piece], LEAST_COUNT) for piece in model.scores}
    total = sum(used.values())
    return UnigramTokenizer({piece: math.log(count / total) for piece, count in used.items()})


def prune(model: UnigramTokenizer, word_counts: Mapping[str, int], size: int) -> UnigramTokenizer:
    """Keep the characters and the pieces without which the text would lose most probability.

    A piece loses, for each of its uses, its score less that of the best other way to cut it.
    """
    used: Counter[str] = Counter()
    for word, count in word_counts.items():
        for piece in model.segment(word):
            used[piece] += count
    losses = {}
    for piece, score in model.scores.items():
        *rows, last = model.lattice(piece)
        if len(piece) > 1:
            other, _ = best_path([*rows, [way for way in last if way[0] > 0]])
            losses[piece] = used[piece] * (score - other)
    letters = [piece for piece in model.scores if len(piece) == 1]
    best = sorted(losses, key=lambda piece: (-losses[piece], piece))
    kept = {*letters, *best[: size - len(letters)]}
    return UnigramTokenizer({p: score for p, score in model.scores.items() if p in kept})
