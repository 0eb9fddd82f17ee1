"""What the sentence patterns of the embedded data share: clauses, choices, rules of good sense.

The patterns say what a native speaker would: subjects, verbs and nouns are matched by the tags
of the lexicon. The same Russian clause never has two translations; in English, adverbs of time
stand at the end, the experiencer comes first and the owner before the thing owned.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import no_type_check

from course_utils.datasets.grammar_words import DETERMINERS, NUMBERS
from course_utils.datasets.lexicon import (
    BE,
    Person,
    Token,
    adjectives_of,
    fits,
    people,
    table,
)


@no_type_check
@dataclass(frozen=True)
class Clause:
    """A clause without its final mark.

    Parameters
    ----------
    ru, en : list of (str, str)
        Words with their labels.
    combos : tuple of (str, str)
        Content words that stand together: adjective and noun, verb and object (in English).
    tense : str
        present, past or future.
    actor : Person or None
        Whom it is about.
    kind : str
        Name of the pattern.
    cut : (int, int) or None
        Where the predicate begins in ru and, behind the auxiliary, in en: what is left when
        the subject is shared ("маша сидит и читает").
    shape : str
        Clauses of the same shape (same auxiliary) can share a subject.
    mark : str
        "." or "?".
    """

    ru: list[Token]
    en: list[Token]
    combos: tuple[tuple[str, str], ...] = ()
    tense: str = "present"
    actor: Person | None = None
    kind: str = ""
    cut: tuple[int, int] | None = None
    shape: str = ""
    mark: str = "."


@no_type_check
def be(tense: str, person: int, label: str = "x") -> list[Token]:
    """English "be" as one or two words."""
    if tense == "future":
        return [("will", label), ("be", label)]
    return [(BE[tense][person], label)]


@no_type_check
def was(tense: str, form: int, label: str = "x") -> list[Token]:
    """Russian "быть" for past (form: 0 m, 1 f, 2 n, 3 plural) and future; nothing at present."""
    if tense == "past":
        return [(("был", "была", "было", "были")[form], label)]
    return [("будут" if form == 3 else "будет", label)] if tense == "future" else []


FORM = {"m": 0, "f": 1, "n": 2, "p": 3}


@no_type_check
class Patterns:
    """Draws clauses; all chance comes from one function `random() -> [0, 1)`.

    Parameters
    ----------
    random : callable
        For example `random.Random(0).random`.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.random = random

    # ---- choices -------------------------------------------------------------------------
    def one(self, options):
        """One of the options, all alike."""
        return options[int(self.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def weighted(self, options):
        """One key of ((key, weight), ...)."""
        keys, sums = _cumulative(tuple(options))
        return keys[bisect(sums, self.random() * sums[-1], 0, len(sums) - 1)]

    def word(self, kind: str):
        """A row of `words.tsv` of this kind."""
        return self.one(words_of(kind))

    def person(self, weights="pronoun 30 name 27 family 15 kin 20 role 8", *, plural=True):
        """Someone; without `plural`, nobody whose oblique forms need a plural determiner."""
        group = self.weighted(_weights(weights))
        if group == "kin" and self.chance(0.3):
            group = "of"
        while True:
            who = self.one(people()[group])
            if fits_case(who, plural):
                return who

    def other(self, who: Person, case: str) -> Person:
        """Someone else than the subject, as an object in this case."""
        while True:
            found = self.person("pronoun 20 name 35 family 20 own 15 kin 10", plural=False)
            if found.forms[case] != "-" and not clash(who, found):
                return found

    def _adjective(self, noun, probability):
        options = adjectives_of(noun.tags)
        return self.one(options) if options and self.chance(probability) else None

    def _owner(self):
        if self.chance(0.5):
            return DETERMINERS[self.one(("my", "your", "our", "his", "their"))]
        while True:
            who = self.person("name 50 family 20 kin 30", plural=False)
            if not who.after:
                return who


@no_type_check
@cache
def _cumulative(options: tuple) -> tuple[list, list[int]]:
    return [key for key, _ in options], list(accumulate(weight for _, weight in options))


@no_type_check
@cache
def _weights(text: str) -> tuple[tuple[str, int], ...]:
    parts = text.split()
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return tuple((group, int(weight)) for group, weight in pairs)


# ---- helpers -----------------------------------------------------------------------------
_CACHE: dict = {}


@no_type_check
def _cached(key, make):
    if key not in _CACHE:
        _CACHE[key] = make()
    return _CACHE[key]


@no_type_check
def words_of(kind: str):
    """Rows of `words.tsv` of one kind."""
    return _cached(("words", kind), lambda: [r for r in table("words") if r.kind == kind])


@no_type_check
def places_with(tags: str):
    """Rows of `places.tsv` with one of the tags."""
    wanted = set(tags.split())
    return _cached(
        ("places", tags), lambda: [r for r in table("places") if wanted & set(r.tags.split())]
    )


@no_type_check
def spots_with(tags: str):
    """Rows of `spots.tsv` with one of the tags."""
    wanted = set(tags.split())
    return _cached(
        ("spots", tags), lambda: [r for r in table("spots") if wanted & set(r.tags.split())]
    )


@no_type_check
def place_ru(row) -> list[Token]:
    """ "в школе"."""
    return [(row.preposition, "r"), (row.where, "l")]


@no_type_check
def place_en(text: str) -> list[Token]:
    """ "at the store": the preposition has its own label."""
    words = text.split()
    return [(words[0], "r"), *[(word, "l") for word in words[1:]]]


@no_type_check
def noun_of(row) -> str:
    """English noun of a place."""
    return row.english_where.split()[-1]


@no_type_check
def noun_is(noun, tags: str) -> bool:
    """Whether a noun has one of the tags."""
    return _cached((noun.nom, tags), lambda: bool(set(noun.tags.split()) & set(tags.split())))


@no_type_check
def combos_of(verb, noun, adjective) -> tuple[tuple[str, str], ...]:
    """The pairs of content words in a verb phrase."""
    found = ((verb.base, noun.english),)
    return (*found, (adjective.english, noun.english)) if adjective else found


@no_type_check
def fits_case(who: Person, plural: bool) -> bool:
    """Whether a person has all oblique forms (plural owners have not)."""
    return plural or not (who.gender == "p" and who.before)


@no_type_check
def clash(a: Person, b: Person) -> bool:
    """Whether b may not be the object of a: the same person, or Russian would say "свой"."""
    words = {word for word, _ in b.english}
    if a.english == b.english or a.english[-1] == b.english[-1]:
        return True
    if "pronoun" in a.kind and "pronoun" in b.kind:
        return a.person == b.person != 2 or {a.person, b.person} == {0, 3}
    if "pronoun" in a.kind and a.possessive in words:
        return True
    owners = {word for word, place in a.english if place == 3 or "name" in a.kind}
    return (
        (a.person in (2, 4) and bool(words & {"his", "their"}))
        or bool(owners & words)
        or ("name" in b.kind and b.english[0][0] in (word for word, _ in a.english))
    )


@no_type_check
def bad_owner(owner, noun, plural: bool) -> bool:
    """Owners without a form here: "мой" and "твой" before a neuter noun, plural people."""
    if isinstance(owner, Person):
        return bool(owner.after) or (noun_is(noun, "dress") and owner.gender == "m")
    if noun_is(noun, "dress") and owner.english == "his":
        return True
    return noun.gender == "n" and not plural and getattr(owner, "n", "") == "-"


@no_type_check
def odd(who: Person, noun) -> bool:
    """Whether this person would hardly have or wear this thing (men skirts, children cars)."""
    if noun_is(noun, "dress"):
        return who.gender != "f"
    if noun.english == "coffee":
        return fits(who.kind, "child children")
    return "child" in who.kind and noun_is(noun, "house furniture lamp vehicle keyed")


@no_type_check
def number(years: int) -> tuple[list[Token], list[Token]]:
    """An age in words: ("двадцать один год", "twenty one years") with labels."""
    parts = [years] if years < 20 or years % 10 == 0 else [years // 10 * 10, years % 10]
    ru = [(NUMBERS[part].russian, "DE"[k]) for k, part in enumerate(parts)]
    en = [(NUMBERS[part].english, "DE"[k]) for k, part in enumerate(parts)]
    unit = year_word(years)
    return [*ru, (unit, "y")], [*en, ("year" if years == 1 else "years", "y")]


@no_type_check
def year_word(years: int) -> str:
    """год, года or лет."""
    if years % 100 in range(11, 15) or years % 10 in (0, 5, 6, 7, 8, 9):
        return "лет"
    return "год" if years % 10 == 1 else "года"
