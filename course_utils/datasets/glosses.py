"""Word-by-word English glosses of the embedded Russian sentences, from the lexicon."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from course_utils.datasets.lexicon import table


def gloss_entries() -> Iterable[tuple[str, str]]:
    """Pairs (Russian form, English gloss); the first entry for a form counts."""
    for row in table("words"):
        if row.kind == "gloss":
            yield row.russian, row.english
    for row in table("pronouns"):
        for form, word in (
            (row.nom, row.english),
            (row.dat, "to-" + row.object),
            (row.acc, row.object),
            (row.after_u, row.object),
            (row.ins, row.object),
        ):
            yield form, word
    for row in table("determiners"):
        for key, form in vars(row).items():
            if key not in ("english", "plural"):
                yield form, row.english
    for row in table("numbers"):
        yield row.russian, row.english
    for row in (*table("nouns"), *table("people")):
        singular = row.english
        for key in ["nom", "gen", "dat", "acc", "ins"]:
            yield getattr(row, key, "-"), singular
        for key in ["pl_nom", "pl_gen", "pl_acc"]:
            yield getattr(row, key, "-"), getattr(row, "plural", "-")
    for row in table("adjectives"):
        for key in ["m", "f", "n", "p", "acc_f", "gen_m", "gen_f"]:
            yield getattr(row, key), row.english
    for row in table("verbs"):
        yield from _verb_glosses(row)
    for row in (*table("places"), *table("spots")):
        word = (getattr(row, "english", None) or row.english_where).split()[-1]
        for key in ("where", "whither", "noun"):
            yield getattr(row, key, "-"), word
    for row in table("words"):
        words, glosses = row.russian.split(), row.english.split()
        if row.kind == "short":
            yield from ((word, row.english) for word in words)
        elif row.kind not in ("gloss",):
            yield from zip(
                words,
                glosses[-len(words) :]
                if len(words) > 1
                else ["-".join(w for w in glosses if w != "the")],
                strict=False,
            )


def _verb_glosses(row) -> Iterable[tuple[str, str]]:
    present = row.present.split()
    for number, form in enumerate(present):
        yield form, "-".join((row.third if number == 2 else row.base).split())
    for form in row.past.split():
        yield form, "-".join(row.simple_past.split())
    yield row.infinitive, "-".join(row.base.split())


@lru_cache(maxsize=1)
def _glosses() -> dict[str, str]:
    found: dict[str, str] = {}
    for form, word in gloss_entries():
        if form != "-":
            found.setdefault(form, word)
    return found


def gloss(sentence: str) -> list[str]:
    """A word-by-word English gloss of a Russian sentence, for the axes of attention maps.

    Parameters
    ----------
    sentence : str
        Normalised text.

    Returns
    -------
    list of str
        One gloss for each word; an unknown word stands for itself.

    Examples
    --------
    >>> gloss("у меня нет собаки .")
    ['at', 'me', 'not-have', 'dog', '.']
    """
    known = _glosses()
    return [known.get(word, word) for word in sentence.split()]
