"""What is done to a text before WordPiece cuts it: BERT cleans it, then splits it into words.

References
----------
Devlin et al. 2019, BERT: the `BasicTokenizer` of its code (github.com/google-research/bert). Of
the library `tokenizers`: `BertNormalizer` and `BertPreTokenizer`, which are followed to the letter.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from string import punctuation

WHITE = "\t\n\r"  # of the control characters, those that BERT takes for spaces
# Blocks of Chinese characters. In BERT's own code the last but two begins at 2B820; here as in the
# library. Japanese syllables and Korean letters are not Chinese.
CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True, kw_only=True)
class BertText:
    """How BERT cleans a text: invisible characters go, Chinese ones stand alone, accents may go.

    Parameters
    ----------
    strip_accents : bool
        Whether marks above and below letters go. Models that write all in small letters do so,
        unless they say otherwise. It is more than accents: й becomes и, and a Korean syllable
        falls into its letters.
    split_chinese : bool
        Whether each Chinese character is a word of its own.

    Examples
    --------
    >>> BertText(strip_accents=True)("naïve\\x00 Йод\\u200b!")
    'naive Иод!'
    >>> BertText()("é中文")
    'é 中  文 '
    """

    strip_accents: bool = False
    split_chinese: bool = True

    def __call__(self, text: str) -> str:
        letters = set(text)
        changes = {ord(c): None for c in letters if _is_invisible(c)}
        if self.split_chinese:
            changes |= {ord(c): f" {c} " for c in letters if _is_chinese(c)}
        text = text.translate(changes)
        if self.strip_accents:
            apart = unicodedata.normalize("NFD", text)  # é is e and a mark now
            text = "".join(c for c in apart if unicodedata.category(c) != "Mn")
        return text


def _is_invisible(c: str) -> bool:
    """Control, format and private characters, and the sign that stands for a broken one."""
    return c == "\ufffd" or (unicodedata.category(c) in ("Cc", "Cf", "Co") and c not in WHITE)


def _is_chinese(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in CHINESE)


def split_words(text: str, *, lower_case: bool = False, clean: BertText | None = None) -> list[str]:
    """Cut a text at white space, and make each punctuation mark a word of its own.

    Examples
    --------
    >>> split_words("The cat's  mat, $5.", lower_case=True)
    ['the', 'cat', "'", 's', 'mat', ',', '$', '5', '.']
    """
    if clean:
        text = clean(text)
    if lower_case:  # letter by letter, as the library: a sigma at a word's end becomes no ς
        text = "".join(map(str.lower, text)) if "Σ" in text else text.lower()
    # ASCII's symbols, such as $ and +, are punctuation for BERT, but not for Unicode.
    for c in set(text):
        if c in punctuation or unicodedata.category(c)[0] == "P":
            text = text.replace(c, f" {c} ")
    return text.split()
