"""Text to numbers and back: words, characters, and byte-pair encoding."""

from course_utils.tokenizers.words import (
    BOS,
    EOS,
    PAD,
    SPECIAL_TOKENS,
    UNK,
    CharacterTokenizer,
    WordTokenizer,
    normalize,
)

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "SPECIAL_TOKENS",
    "UNK",
    "CharacterTokenizer",
    "WordTokenizer",
    "normalize",
]
