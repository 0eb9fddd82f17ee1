"""Byte-level byte-pair encoding: the tokenizer of GPT-2 and of most language models since.

A text is cut into pre-tokens (`pretokens`), each is UTF-8 bytes, and neighbours are joined in the
order that training learned (`merging`). With 256 bytes to begin with there is no unknown character.
Merges and ids equal those of the library `tokenizers` (ByteLevel, no prefix space).

Special tokens (end of a document, begin of a turn) have ids that no text can reach: `encode` makes
them only where the caller allows it. The library makes them always; that equals
`allowed_special="all"` here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import SupportsInt

import regex

from course_utils.tokenizers.bpe_files import (
    naming,
    read_gpt2_files,
    read_tokenizer_json,
    write_tokenizer_json,
)
from course_utils.tokenizers.merging import apply_merges, learn_merges
from course_utils.tokenizers.pretokens import (
    BYTE_TOKENS,
    GPT2_PATTERN,
    count_pretokens,
    pretokenize,
    to_bytes,
)
from course_utils.tokenizers.vocabulary import check_special_tokens, check_vocabulary, merge_ranks

CACHED_PIECES = 2**16
LONGEST_CACHED = 100  # characters; longer pieces seldom come twice


class BPETokenizer:
    """Text to ids and back, for every text there is.

    Parameters
    ----------
    vocab : mapping from int to bytes
        The tokens; all 256 single bytes are among them.
    merges : iterable of pairs of bytes
        In the order learned; both parts and the two joined are tokens.
    special_tokens : mapping from str to int, optional
        Texts with an id of their own, which is not in `vocab`.
    pattern : str
        How to cut a text into pre-tokens, see `pretokens.pretokenize`.

    Attributes
    ----------
    vocab : dict from int to bytes
        All tokens, special ones included.
    merges : list of pairs of bytes
    special_tokens : dict from str to int
    pattern : str

    Raises
    ------
    ValueError
        When the parts do not fit together: which, and why.

    Examples
    --------
    >>> texts = ["the cat and the dog", "the hat"]
    >>> tokenizer = BPETokenizer.train(texts, 261, special_tokens=["<end>"])
    >>> tokenizer.tokens("the ham")
    [b'the', b' ', b'h', b'a', b'm']
    >>> tokenizer.decode(tokenizer.encode("日本語 😀"))
    '日本語 😀'
    >>> tokenizer.encode("<end>", allowed_special="all")
    [0]
    >>> len(tokenizer.encode("<end>"))
    5
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Iterable[tuple[bytes, bytes]],
        *,
        special_tokens: Mapping[str, int] | None = None,
        pattern: str = GPT2_PATTERN,
    ) -> None:
        self.merges, self.pattern = list(merges), pattern
        self.special_tokens = dict(special_tokens or {})
        ids = {token: index for index, token in vocab.items()}
        check_vocabulary(vocab, ids)
        check_special_tokens(self.special_tokens, vocab)
        specials = {index: to_bytes(text) for text, index in self.special_tokens.items()}
        self.vocab = dict(sorted((dict(vocab) | specials).items()))
        self._byte_ids = [ids[bytes([byte])] for byte in range(256)]
        self._merges = merge_ranks(self.merges, ids)
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        special_tokens: Iterable[str] = (),
        pattern: str = GPT2_PATTERN,
        progress: bool = True,
    ) -> BPETokenizer:
        """Learn a vocabulary from texts.

        Ids: the special tokens, then the 256 bytes in the order of the signs that stand for them in
        files, then the merges in the order learned. A special token's text is ordinary text here.

        Parameters
        ----------
        texts : iterable of str
            Read once, one at a time; no merge crosses from one text to the next.
        vocab_size : int
            Tokens wanted: special tokens, 256 bytes and merges.
        special_tokens : iterable of str
            Texts that get an id of their own.
        pattern : str
            How to cut a text into pre-tokens.
        progress : bool
            Show a progress bar in a terminal.

        Raises
        ------
        ValueError
            When `vocab_size` has no place for bytes and special tokens, or the texts are empty, or
            too small for so many merges. The library would return a smaller vocabulary instead, and
            a model made for `vocab_size` would have rows that are never trained.
        """
        specials = _as_list("special_tokens", special_tokens)
        if twice := [text for text, count in Counter(specials).items() if count > 1]:
            raise ValueError(f"special tokens are given twice: {twice}")
        first = len(specials)
        if vocab_size < first + len(BYTE_TOKENS):
            raise ValueError(
                f"vocab_size={vocab_size} is too small: 256 bytes and {first} special tokens need "
                f"{first + len(BYTE_TOKENS)}"
            )
        counts = count_pretokens(texts, pattern)
        if not counts:
            raise ValueError("there is no text to learn from: all texts are empty")
        tokens, merges = learn_merges(counts, vocab_size - first, progress=progress)
        if first + len(tokens) < vocab_size:
            raise ValueError(
                f"the texts are too small for vocab_size={vocab_size}: after {len(merges)} merges "
                f"every word is one token. Give more text, or vocab_size={first + len(tokens)}"
            )
        ids = {text: index for index, text in enumerate(specials)}
        return cls(dict(enumerate(tokens, first)), merges, special_tokens=ids, pattern=pattern)

    def encode(
        self,
        text: str,
        *,
        allowed_special: Iterable[str] = (),
        dropout: float = 0.0,
        rng: Random | None = None,
    ) -> list[int]:
        """Ids of a text.

        Parameters
        ----------
        text : str
            Any text without lone surrogates.
        allowed_special : iterable of str, or "all"
            Special tokens that the text may hold. The text of any other is ordinary text: what a
            user types cannot end a document.
        dropout : float
            Chance to leave out each merge at each step, from 0 (usual) to 1 (bytes), so that a
            model sees one word cut in many ways (Provilkov et al. 2020).
        rng : random.Random, optional
            Where the chance comes from: dropout asks for it.

        Returns
        -------
        list of int
            As many as there are tokens; nothing is put before or after them.

        Raises
        ------
        ValueError
            When the text holds a lone surrogate, a special token is not known, or dropout is
            outside [0, 1] or has no `rng`.
        """
        _check_dropout(dropout, rng)
        allowed = self._allowed(allowed_special)
        ids = []
        for part in _cut_out(text, allowed):
            if part in allowed:
                ids.append(self.special_tokens[part])
                continue
            for piece in pretokenize(part, self.pattern):
                if dropout:
                    ids += self._merge(piece, dropout, rng)
                else:
                    ids += self._cache.get(piece) or self._remember(piece)
        return ids

    def _merge(self, piece: str, dropout: float = 0.0, rng: Random | None = None) -> list[int]:
        """Ids of one pre-token."""
        byte_ids = [self._byte_ids[byte] for byte in to_bytes(piece)]
        return apply_merges(byte_ids, self._merges, dropout=dropout, rng=rng)

    def _remember(self, piece: str) -> list[int]:
        """Ids of one pre-token, kept for the next time: most words of a text come again."""
        ids = self._merge(piece)
        if len(piece) <= LONGEST_CACHED and len(self._cache) < CACHED_PIECES:
            self._cache[piece] = ids
        return ids

    def _allowed(self, allowed_special: Iterable[str]) -> list[str]:
        """The special tokens that a text may hold, the longest first."""
        if allowed_special == "all":
            allowed_special = self.special_tokens
        allowed = _as_list("allowed_special", allowed_special)
        if unknown := [text for text in allowed if text not in self.special_tokens]:
            raise ValueError(
                f"{unknown[0]!r} is no special token here; there are {list(self.special_tokens)}"
            )
        return sorted(allowed, key=len, reverse=True)

    def decode(self, ids: Iterable[SupportsInt], *, errors: str = "replace") -> str:
        """Text of ids.

        `decode(encode(text))` is the text. `encode(decode(ids))` is `ids` only if they are what
        `encode` makes: other ids can spell the same text, half a character becomes "\ufffd", and
        special tokens become text.

        Parameters
        ----------
        ids : iterable of int
            A list, or a tensor.
        errors : str
            What to do with bytes that are no text, as in `bytes.decode`: "replace" or "strict".

        Raises
        ------
        ValueError
            When an id is not in the vocabulary; with "strict", when the bytes are no text.
        """
        return b"".join(self.token_bytes(ids)).decode("utf-8", errors)

    def token_bytes(self, ids: Iterable[SupportsInt]) -> list[bytes]:
        """The bytes of each id; one alone may be half a character.

        Raises
        ------
        ValueError
            When an id is not in the vocabulary.
        """
        try:
            return [self.vocab[int(index)] for index in ids]
        except KeyError as error:
            raise ValueError(
                f"id {error.args[0]} is outside the vocabulary of {len(self)} tokens"
            ) from None

    def tokens(self, text: str, **options) -> list[bytes]:
        """The pieces that `encode` cuts a text into; it takes the same options."""
        return self.token_bytes(self.encode(text, **options))

    def smaller(self, vocab_size: int) -> BPETokenizer:
        """The same tokenizer without its last merges: as if training had stopped earlier.

        Raises
        ------
        ValueError
            When bytes and special tokens do not fit into `vocab_size`, or there are not so many
            tokens.

        Examples
        --------
        >>> tokenizer = BPETokenizer.train(["the cat and the hat"], 260)
        >>> len(tokenizer.smaller(258)), tokenizer.smaller(258).merges == tokenizer.merges[:2]
        (258, True)
        """
        fewest = len(BYTE_TOKENS) + len(self.special_tokens)
        if not fewest <= vocab_size <= len(self):
            raise ValueError(f"vocab_size is from {fewest} to {len(self)} here, got {vocab_size}")
        made = dict.fromkeys(left + right for left, right in self.merges)
        kept = {*BYTE_TOKENS, *list(made)[: vocab_size - fewest]}
        specials = self.special_tokens
        vocab = {index: token for index, token in self.vocab.items() if token in kept}
        merges = [pair for pair in self.merges if pair[0] + pair[1] in kept]
        return BPETokenizer(vocab, merges, special_tokens=specials, pattern=self.pattern)

    def __len__(self) -> int:
        return len(self.vocab)

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that `tokenizers` and `transformers` open, too.

        A crash in the middle leaves the old file.
        """
        specials = self.special_tokens
        write_tokenizer_json(path, self.vocab, self.merges, specials, self.pattern)

    @classmethod
    def load(cls, path: str | Path) -> BPETokenizer:
        """Read a byte-level `tokenizer.json`, ours or the library's.

        Raises
        ------
        ValueError
            When it is broken, or of another kind of tokenizer.
        """
        with naming(path, "a byte-level BPE tokenizer.json"):
            return cls(**read_tokenizer_json(path))

    @classmethod
    def from_gpt2_files(
        cls,
        vocab_json: str | Path,
        merges_txt: str | Path,
        *,
        special_tokens: Iterable[str] = ("<|endoftext|>",),
    ) -> BPETokenizer:
        """Read the two files that GPT-2 and its relatives come with.

        Raises
        ------
        ValueError
            When a file is broken, or the vocabulary lacks a special token.
        """
        specials = _as_list("special_tokens", special_tokens)
        with naming(f"{vocab_json} with {merges_txt}", "a GPT-2 vocabulary"):
            return cls(**read_gpt2_files(vocab_json, merges_txt, specials))


def _as_list(name: str, texts: Iterable[str]) -> list[str]:
    """Several texts; one string alone would be taken for its characters."""
    if isinstance(texts, str):
        raise ValueError(f"{name}={texts!r} is one string: give a list, [{texts!r}]")
    return list(texts)


def _cut_out(text: str, specials: list[str]) -> list[str]:
    """Parts of a text, each special token a part of its own; the longest wins at one place."""
    if not specials:
        return [text]
    return regex.split(f"({'|'.join(map(regex.escape, specials))})", text)


def _check_dropout(dropout: float, rng: Random | None) -> None:
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout is {dropout}; it is a chance, from 0 to 1")
    if dropout and rng is None:
        raise ValueError("dropout needs rng: give random.Random(0), say, to be able to repeat it")
