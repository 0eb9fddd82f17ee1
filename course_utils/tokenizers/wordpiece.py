"""WordPiece, the tokenizer of BERT: merges by a score, cuts by the longest piece that fits.

A piece that continues a word begins with `##`: "mating" is cut into mat ##ing.

Training is like byte-pair encoding's, but the next pair is the one with the highest

    score(a, b) = count(ab) / (count(a) * count(b)),

not with the highest count. So t and h are not joined because they are everywhere: a pair has to
stand together more often than its parts let expect. Cutting knows no merges: only the vocabulary.

Of equal scores the pair is taken whose left piece stands first in the vocabulary, then its right.

BERT's own trainer was never published, and the `tokenizers` library's `WordPieceTrainer` takes the
most frequent pair, as byte-pair encoding does: that is `criterion="count"` here.

References
----------
Schuster and Nakajima 2012, Japanese and Korean Voice Search, section 3; Wu et al. 2016, Google's
Neural Machine Translation System, section 4.1; the score as in the Hugging Face LLM course,
chapter 6.6; the cutting and the special tokens as in Devlin et al. 2019, BERT.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, SupportsInt

from course_utils.files import atomic_write
from course_utils.tokenizers.bert_text import BertText, split_words
from course_utils.tokenizers.naive import merge_pair
from course_utils.tokenizers.wordpiece_files import (
    LONGEST_WORD,
    PREFIX,
    check_content,
    normalizer_options,
    tokenizer_json,
)

WORDPIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

CRITERIA: dict[str, Callable[[int, int, int], float]] = {
    "score": lambda pair, left, right: pair / (left * right),
    "count": lambda pair, left, right: float(pair),
}


def learn_pieces(
    word_counts: Mapping[str, int],
    num_pieces: int,
    *,
    criterion: str = "score",
    min_count: int = 1,
) -> list[tuple[str, float]]:
    """The pieces that merges make, one after the other.

    Parameters
    ----------
    word_counts : mapping of str to int
        How often each word occurs.
    num_pieces : int
        How many to make. There are fewer when no pair is left before that.
    criterion : str
        "score": WordPiece's. "count": the most frequent pair, as in byte-pair encoding.
    min_count : int
        Rarer pairs are not merged.

    Returns
    -------
    list of tuple of str and float
        Each new piece, and the score (or the count) of its pair.

    Raises
    ------
    ValueError
        When the criterion is unknown.

    Examples
    --------
    >>> words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    >>> learn_pieces(words, 1)  # as in the Hugging Face course: 5 / (20 * 5)
    [('##gs', 0.05)]
    >>> learn_pieces(words, 2, criterion="count")
    [('##ug', 20.0), ('##un', 16.0)]
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion is one of {list(CRITERIA)}, got {criterion!r}")
    # Inside, a word's first symbol begins with a space instead: then a merge is a mere sum.
    words = [(" " + word[:1], *word[1:]) for word in word_counts]
    ids = {symbol: index for index, symbol in enumerate(sorted({s for w in words for s in w}))}
    table = _Counts(words, list(word_counts.values()))
    learned: list[tuple[str, float]] = []
    while len(learned) < num_pieces:
        scores = table.scores(CRITERIA[criterion], min_count)
        if not scores:
            break
        best = max(scores.values())
        ties = (pair for pair, score in scores.items() if score == best)
        left, right = min(ties, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        table.merge((left, right))
        ids[left + right] = len(ids)
        learned.append((_as_piece(left + right), best))
    return learned


def _as_piece(symbol: str) -> str:
    return symbol[1:] if symbol.startswith(" ") else PREFIX + symbol


class _Counts:
    """How often symbols and pairs occur in words; a merge counts only its own words again."""

    def __init__(self, words: list[tuple[str, ...]], counts: list[int]) -> None:
        self.words, self.counts = words, counts
        self.symbols: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.places: dict[tuple[str, str], set[int]] = defaultdict(set)  # pair: its words
        for place in range(len(words)):
            self._count(place, +1)

    def _count(self, place: int, sign: int) -> None:
        word, times = self.words[place], sign * self.counts[place]
        for symbol in word:
            self.symbols[symbol] += times
        for pair in pairwise(word):
            self.pairs[pair] += times
            self.places[pair].add(place)

    def merge(self, pair: tuple[str, str]) -> None:
        for place in self.places.pop(pair):
            self._count(place, -1)
            self.words[place] = merge_pair(self.words[place], pair)
            self._count(place, +1)
        self.pairs += Counter()  # forget the pairs that are gone

    def scores(self, formula: Callable, min_count: int) -> dict[tuple[str, str], float]:
        symbols = self.symbols
        return {
            pair: formula(count, symbols[pair[0]], symbols[pair[1]])
            for pair, count in self.pairs.items()
            if count >= min_count
        }


class WordPieceTokenizer:
    """Words cut into the longest pieces of a vocabulary, from left to right.

    Parameters
    ----------
    pieces : iterable of str
        The vocabulary in the order of the ids, special tokens included.
    lower_case : bool
        Whether `encode` writes the text in small letters first.
    clean : BertText, optional
        How `encode` cleans the text before that. BERT does; without it, a text stays as it is.

    Raises
    ------
    ValueError
        When a piece occurs twice or a special token is missing.

    Attributes
    ----------
    vocab : dict of int to str
        Piece by id.
    ids : dict of str to int
        Id by piece.
    special_tokens : dict of str to int
        Ids of [PAD], [UNK], [CLS], [SEP] and [MASK].

    Examples
    --------
    >>> pieces = [*WORDPIECE_SPECIALS, "m", "##a", "##t", "mat", "##s", "a", "##ma"]
    >>> tokenizer = WordPieceTokenizer(pieces, lower_case=True)
    >>> tokenizer.segment("mats"), tokenizer.segment("amat"), tokenizer.segment("cat")
    (['mat', '##s'], ['a', '##ma', '##t'], ['[UNK]'])
    >>> tokenizer.encode("Mats [MASK]", allowed_special=["[MASK]"])
    [8, 9, 4]
    >>> tokenizer.decode([8, 9, 4])
    'mats [MASK]'
    """

    def __init__(
        self, pieces: Iterable[str], *, lower_case: bool = False, clean: BertText | None = None
    ) -> None:
        self.vocab = dict(enumerate(pieces))
        self.ids = {piece: index for index, piece in self.vocab.items()}
        self.lower_case, self.clean = lower_case, clean
        self._cut: dict[str, list[str]] = {}  # words that were cut before: most of a text
        if len(self.ids) < len(self.vocab):
            twice = [p for p, count in Counter(self.vocab.values()).items() if count > 1]
            raise ValueError(f"the vocabulary has pieces twice: {twice[:5]}")
        if missing := [token for token in WORDPIECE_SPECIALS if token not in self.ids]:
            raise ValueError(f"the vocabulary lacks the special tokens {missing}: add them to it")
        self.special_tokens = {token: self.ids[token] for token in WORDPIECE_SPECIALS}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        criterion: str = "score",
        min_count: int = 1,
        lower_case: bool = False,
    ) -> WordPieceTokenizer:
        """Learn a vocabulary: special tokens, characters, continuing characters, merges.

        Parameters
        ----------
        texts : iterable of str
        vocab_size : int
            Number of pieces in all.
        criterion : str
            "score" or "count"; see `learn_pieces`.
        min_count : int
            Rarer pairs are not merged. By the score, two letters that occur once, side by side,
            come before all others: on real text ask for 10 or more.
        lower_case : bool
            Whether texts are written in small letters first, here and in `encode`.

        Raises
        ------
        ValueError
            When the texts hold no word, or `vocab_size` is too small or too large for them.
        """
        word_counts = Counter(w for text in texts for w in split_words(text, lower_case=lower_case))
        if not word_counts:
            raise ValueError("there is no word to learn from: the texts are empty")
        # A word of known characters is never unknown: each can begin a word and continue one.
        letters = sorted({letter for word in word_counts for letter in word})
        pieces = [*WORDPIECE_SPECIALS, *letters, *(PREFIX + letter for letter in letters)]
        if vocab_size < len(pieces):
            raise ValueError(
                f"vocab_size {vocab_size} is too small: the special tokens and the {len(letters)} "
                f"characters, alone and with {PREFIX}, take {len(pieces)}"
            )
        options = {"criterion": criterion, "min_count": min_count}
        pieces += [p for p, _ in learn_pieces(word_counts, vocab_size - len(pieces), **options)]
        if len(pieces) < vocab_size:
            raise ValueError(
                f"the texts give {len(pieces)} pieces, not {vocab_size}: give more text, or ask "
                f"for a smaller vocab_size or min_count"
            )
        return cls(pieces, lower_case=lower_case)

    def segment(self, word: str) -> list[str]:
        """Cut one word: always the longest piece that fits next; [UNK] when none does."""
        pieces, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            fitting = (
                (PREFIX if start else "") + word[start:end] for end in range(len(word), start, -1)
            )
            piece = next((piece for piece in fitting if piece in self.ids), None)
            if piece is None:
                return ["[UNK]"]
            pieces.append(piece)
            start += len(piece) - (len(PREFIX) if start else 0)
        return pieces if start == len(word) else ["[UNK]"]

    def tokens(self, text: str, *, allowed_special: Iterable[str] | str = ()) -> list[str]:
        """The pieces of a text; see `encode`."""
        allowed = [*self.special_tokens] if allowed_special == "all" else [*allowed_special]
        if wrong := [token for token in allowed if token not in self.special_tokens]:
            raise ValueError(f"no special tokens: {wrong}; there are {[*self.special_tokens]}")
        pattern = "|".join(map(re.escape, allowed)) or r"(?!)"  # the last one fits nowhere
        found: list[str] = []
        for part in re.split(f"({pattern})", text):
            if part in allowed:
                found.append(part)
                continue
            words = split_words(part, lower_case=self.lower_case, clean=self.clean)
            for word in words:
                if word not in self._cut:
                    self._cut[word] = self.segment(word)
                found += self._cut[word]
        return found

    def encode(self, text: str, *, allowed_special: Iterable[str] | str = ()) -> list[int]:
        """Ids of a text, without [CLS] and [SEP].

        Parameters
        ----------
        text : str
        allowed_special : iterable of str, or "all"
            Special tokens that the text may name (a `ValueError` when it holds another token).
            All others are ordinary text: brackets and letters.
        """
        return [self.ids[piece] for piece in self.tokens(text, allowed_special=allowed_special)]

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """Text of ids, one space between words; [PAD], [CLS] and [SEP] are left out.

        Raises
        ------
        ValueError
            When an id is not in the vocabulary.
        """
        ids = [int(index) for index in ids]
        if wrong := [index for index in ids if index not in self.vocab]:
            raise ValueError(f"id {wrong[0]} is outside the vocabulary of {len(self)} pieces")
        left_out = {self.ids[token] for token in ("[PAD]", "[CLS]", "[SEP]")}
        text = " ".join(self.vocab[index] for index in ids if index not in left_out)
        return text.replace(f" {PREFIX}", "").removeprefix(PREFIX)

    def __len__(self) -> int:
        return len(self.vocab)

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json`, which `tokenizers.Tokenizer.from_file` opens, too.

        The library reads special tokens out of any text, as `allowed_special="all"` does here.
        """
        with atomic_write(path) as temporary:
            text = json.dumps(self._content(), ensure_ascii=False, indent=1)
            temporary.write_text(text, encoding="utf-8")

    def _content(self) -> dict[str, Any]:
        options = {"lower_case": self.lower_case, "clean": self.clean}
        return tokenizer_json(self.ids, self.special_tokens, **options)

    @classmethod
    def load(cls, path: str | Path) -> WordPieceTokenizer:
        """Read what `save` wrote, or the library's `tokenizer.json` of a BERT.

        Raises
        ------
        ValueError
            When the file is broken, or a `tokenizer.json` that works otherwise than this class.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            ids = content["model"]["vocab"]
            pieces = sorted(ids, key=ids.get)
            tokenizer = cls(pieces, **normalizer_options(content["normalizer"]))
            check_content(content, tokenizer._content())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no saved {cls.__name__}: {error!r}") from error
        return tokenizer
