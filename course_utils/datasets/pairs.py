"""What a translation data set is, whatever its source: pairs of sentences in three parts.

Sentences are normalised text: lower case, words and punctuation separated by single spaces
("маша читает книгу ." / "masha is reading a book ."), so that `str.split` gives the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TranslationPair:
    """A sentence and its translation.

    Parameters
    ----------
    source, target : str
        Normalised sentences; `str.split` gives their words.
    alignment : tuple of (int, int), optional
        Gold links (index of a source word, index of a target word), counted from 0.
        None where nobody has aligned the pair.

    Examples
    --------
    >>> pair = TranslationPair("я сплю .", "i am sleeping .", ((0, 0), (1, 1), (1, 2), (2, 3)))
    >>> [(pair.source.split()[s], pair.target.split()[t]) for s, t in pair.alignment][:2]
    [('я', 'i'), ('сплю', 'am')]
    """

    source: str
    target: str
    alignment: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TranslationData:
    """A translation data set: no source sentence is in two of its parts.

    Parameters
    ----------
    train, validation, test : list of TranslationPair
        The usual three parts.
    languages : (str, str)
        Codes of the source and the target language.
    origin : str
        One sentence that says where the pairs come from.
    compositional : list of TranslationPair
        Test pairs of known words in combinations that `train` never shows (embedded data only).
    clauses : dict of int to list of TranslationPair
        Test pairs by their number of joined clauses (embedded data only).
    """

    train: list[TranslationPair]
    validation: list[TranslationPair]
    test: list[TranslationPair]
    languages: tuple[str, str]
    origin: str
    compositional: list[TranslationPair] = field(default_factory=list)
    clauses: dict[int, list[TranslationPair]] = field(default_factory=dict)
