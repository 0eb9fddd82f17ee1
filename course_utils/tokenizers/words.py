"""Text to numbers and back: tokenizers of words and of characters behind one interface.

Both know four special tokens with the same ids: padding, begin, end, unknown. `encode` gives the
bare ids; whoever makes a batch adds begin and end.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsInt

from course_utils.files import atomic_write

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(4)

# Accents without a composed letter (a stress mark in Russian) stay inside their word.
_WORDS = re.compile(r"'s\b|\w[\w\u0300-\u036f]*|[^\w\s]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]")


def normalize(text: str) -> str:
    """Lower case, composed Unicode, words and punctuation apart by single spaces.

    Examples
    --------
    >>> normalize("  Маша читает  книгу, да?")
    'маша читает книгу , да ?'
    >>> normalize("My brother's dog.")
    "my brother 's dog ."
    """
    text = _INVISIBLE.sub("", text).replace("\u2019", "'").lower()
    text = unicodedata.normalize("NFC", text)
    return " ".join(_WORDS.findall(text))


class WordTokenizer:
    """One id per word; a word is what stands between spaces.

    Parameters
    ----------
    tokens : iterable of str
        The vocabulary, best first; the special tokens are put before it.

    Raises
    ------
    ValueError
        When a token occurs twice or is a special one.

    Examples
    --------
    >>> tokenizer = WordTokenizer.train(["i see a dog .", "i see a cat ."])
    >>> ids = tokenizer.encode("i see a unicorn .")
    >>> tokenizer.decode(ids)
    'i see a <unk> .'
    >>> tokenizer.unknown(["i see a unicorn ."])
    Counter({'unicorn': 1})
    """

    joiner = " "

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = [*SPECIAL_TOKENS, *tokens]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            twice = [token for token, count in Counter(self.tokens).items() if count > 1]
            raise ValueError(f"the vocabulary has tokens twice: {twice[:5]}")

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text into its tokens."""
        return text.split()

    @classmethod
    def train(
        cls, texts: Iterable[str], *, min_count: int = 1, max_size: int | None = None
    ) -> WordTokenizer:
        """Collect the vocabulary of texts, most frequent tokens first.

        Parameters
        ----------
        texts : iterable of str
            Normalised texts.
        min_count : int
            Rarer tokens become unknown.
        max_size : int, optional
            Largest vocabulary, special tokens included.

        Raises
        ------
        ValueError
            When no token is left.
        """
        counts = Counter(token for text in texts for token in cls.split(text))
        for special in SPECIAL_TOKENS:
            counts.pop(special, None)
        # Ties in alphabetical order: the ids depend on the counts alone.
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        kept = [token for token in ranked if counts[token] >= min_count]
        if max_size is not None:
            kept = kept[: max(0, max_size - len(SPECIAL_TOKENS))]
        if not kept:
            raise ValueError("no token to learn: the texts are empty or min_count is too high")
        return cls(kept)

    def encode(self, text: str) -> list[int]:
        """Ids of a text's tokens; unknown ones become `UNK` (see `unknown`)."""
        # max: a text that holds "<eos>" as a word must not end there.
        return [max(self.ids.get(token, UNK), UNK) for token in self.split(text)]

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """Text of ids; padding, begin and end are left out.

        Raises
        ------
        ValueError
            When an id is not in the vocabulary.
        """
        ids = [int(index) for index in ids]
        if wrong := [index for index in ids if not 0 <= index < len(self)]:
            raise ValueError(f"id {wrong[0]} is outside the vocabulary of {len(self)} tokens")
        return self.joiner.join(self.tokens[i] for i in ids if i not in (PAD, BOS, EOS))

    def unknown(self, texts: Iterable[str]) -> Counter[str]:
        """Count the tokens of texts that `encode` would replace by `UNK`."""
        tokens = (token for text in texts for token in self.split(text))
        return Counter(token for token in tokens if self.ids.get(token, UNK) <= UNK)

    def __len__(self) -> int:
        return len(self.tokens)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON; a crash in the middle leaves the old file."""
        content = {"type": type(self).__name__, "tokens": self.tokens[len(SPECIAL_TOKENS) :]}
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> WordTokenizer:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            When the file is not such a file, or is of another kind of tokenizer.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            kind, tokens = content["type"], content["tokens"]
            if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
                raise TypeError("its tokens are not a list of strings")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a saved {cls.__name__}: {error}") from error
        if kind != cls.__name__:
            raise ValueError(f"{path} holds a {kind}, not a {cls.__name__}")
        return cls(tokens)


class CharacterTokenizer(WordTokenizer):
    """One id per character, spaces included.

    Examples
    --------
    >>> tokenizer = CharacterTokenizer.train(["12 may"])
    >>> tokenizer.decode(tokenizer.encode("1 yam"))
    '1 yam'
    """

    joiner = ""

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text into its characters."""
        return list(text)
