"""Text to numbers and back: words, characters, byte-pair encoding and its relatives."""

from course_utils.tokenizers.bpe import BPETokenizer
from course_utils.tokenizers.pretokens import GPT2_PATTERN, WHOLE_TEXT
from course_utils.tokenizers.unigram import UnigramTokenizer
from course_utils.tokenizers.wordpiece import WORDPIECE_SPECIALS, WordPieceTokenizer
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
    "GPT2_PATTERN",
    "PAD",
    "SPECIAL_TOKENS",
    "UNK",
    "WHOLE_TEXT",
    "WORDPIECE_SPECIALS",
    "BPETokenizer",
    "CharacterTokenizer",
    "UnigramTokenizer",
    "WordPieceTokenizer",
    "WordTokenizer",
    "normalize",
]
