"""Pre-tokens: the pieces of a text that byte-pair encoding never merges across; and bytes in files.

A byte-level tokenizer first cuts a text into words, numbers, punctuation and white space, each as
UTF-8 bytes. Merges happen inside a piece only, so that no token spans "dog." or "the dog".

The cutting rule and the printable signs for the bytes are those of GPT-2 (Radford et al. 2019,
"Language models are unsupervised multitask learners", section 2.2, and its `encoder.py`). Files of
the libraries `tokenizers` and `transformers` hold the same two.

What is a letter, a number or white space is said by the Unicode tables of the `regex` package, as
in GPT-2's own code. `tokenizers` has tables of its own. Both agree on every character that both
know. `regex` 2026.11 knows newer ones: for 17,480 code points of Unicode 17 and later it says
letter or number, where `tokenizers` 0.23 says sign. Texts with these may be cut in other places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import regex

GPT2_PATTERN = "|".join(
    (
        r"'(?:s|t|m|d|re|ve|ll)",  # English endings: it's, don't, we'll
        r" ?\p{L}+",  # letters of any script, with the space before them
        r" ?\p{N}+",  # digits, with the space before them
        r" ?[^\s\p{L}\p{N}]+",  # signs, with the space before them
        r"\s+(?!\S)",  # white space, but not the last before a word: that one is the word's
        r"\s+",
    )
)
WHOLE_TEXT = r"[\s\S]+"  # no pre-tokens: the whole text is one piece


def _byte_symbols() -> tuple[str, ...]:
    """Bytes that are visible characters in Latin-1 stand for themselves; the rest come after."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in visible else next(spare)) for byte in range(256))


BYTE_SYMBOLS = _byte_symbols()
_BYTES = {symbol: byte for byte, symbol in enumerate(BYTE_SYMBOLS)}
# The 256 tokens that every vocabulary begins with, in the order of their ids.
BYTE_TOKENS = tuple(bytes([_BYTES[symbol]]) for symbol in sorted(BYTE_SYMBOLS))


def to_symbols(token: bytes) -> str:
    """A token as it is written in files: one printable character for each byte.

    Examples
    --------
    >>> to_symbols(b" caf\\xc3\\xa9")
    'ĠcafÃ©'
    """
    return token.decode("latin-1").translate(BYTE_SYMBOLS)


def from_symbols(symbols: str) -> bytes:
    """The bytes of a token as it is written in files.

    Raises
    ------
    ValueError
        When a character stands for no byte.
    """
    try:
        return bytes(_BYTES[symbol] for symbol in symbols)
    except KeyError as error:
        raise ValueError(
            f"the token {symbols!r} has the character {error.args[0]!r}, which stands for no byte: "
            "it is not a token of a byte-level tokenizer"
        ) from None


@lru_cache(maxsize=32)
def _cutter(pattern: str) -> regex.Pattern:
    """The pattern, compiled so that `split` keeps what it matches."""
    try:
        compiled = regex.compile(f"({pattern})")
    except regex.error as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {error}") from error
    if compiled.groups > 1:
        raise ValueError(f"the pattern {pattern!r} has a group that captures: write (?:...)")
    return compiled


def pretokenize(text: str, pattern: str = GPT2_PATTERN) -> list[str]:
    """Cut a text into pieces; joined again, they are the text.

    Parameters
    ----------
    text : str
        Any text.
    pattern : str
        A regular expression of the `regex` package: each match is a piece, and so is what lies
        between two matches.

    Raises
    ------
    ValueError
        When the pattern is not one, or captures groups.

    Examples
    --------
    >>> pretokenize("We'll pay 20  euros!")
    ['We', "'ll", ' pay', ' 20', ' ', ' euros', '!']
    """
    return list(filter(None, _cutter(pattern).split(text)))


def count_pretokens(texts: Iterable[str], pattern: str = GPT2_PATTERN) -> Counter[bytes]:
    """Count the different pieces of texts, as bytes; the texts are read once, one at a time.

    Parameters
    ----------
    texts : iterable of str
        Read as a stream: only the distinct pieces stay in memory.
    pattern : str
        As in `pretokenize`.

    Raises
    ------
    TypeError
        When `texts` is one string, or holds something else than strings.
    ValueError
        When a text holds half a character (a lone surrogate).

    Examples
    --------
    >>> count_pretokens(["the dog", "the cat"])
    Counter({b'the': 2, b' dog': 1, b' cat': 1})
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string: give several, such as [text] or text.splitlines()")
    cutter, counts = _cutter(pattern), Counter()
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"a text is a {type(text).__name__}, not a str: {text!r:.60}")
        counts.update(filter(None, cutter.splititer(text)))
    return Counter({to_bytes(piece): count for piece, count in counts.items()})


def to_bytes(piece: str) -> bytes:
    """UTF-8 of a piece.

    Raises
    ------
    ValueError
        When it holds a lone surrogate, for which UTF-8 has no bytes.
    """
    try:
        return piece.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(piece[error.start]):04X}"
        raise ValueError(
            f"the text holds {half}, half of a character (a lone surrogate): there are no bytes "
            'for it. Mend the text with text.encode("utf-16", "surrogatepass").decode("utf-16", '
            '"replace")'
        ) from error
