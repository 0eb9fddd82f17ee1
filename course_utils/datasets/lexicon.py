"""The lexicon behind the embedded sentences: word tables, noun phrases, English verbs.

The tables lie in `data/phrases/` and were written for this course. A *token* is a pair
`(word, labels)`; a label is one character that says which part of the clause the word belongs
to. Two words of a pair of sentences are aligned when they share a label.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import no_type_check

from course_utils.files import data_path

Token = tuple[str, str]

# Labels of a noun phrase by its role: head, determiner, adjective, possessor (head).
ROLES = {"s": "sSzZ", "o": "oOwW", "p": "pPqQ", "i": "iIjJ"}
ALONE = ("", "", "", "")
GENDERS = ("m", "f", "p")
BE = {"present": ("am", "are", "is", "are", "are"), "past": ("was", "were", "was", "were", "were")}
DOES = ("do", "do", "does", "do", "do")
WILL = ("буду", "будешь", "будет", "будем", "будут")


@no_type_check
def tokens(text: str, label: str) -> list[Token]:
    """Give every word of `text` the same label."""
    return [(word, label) for word in text.split()]


@no_type_check
@cache
def words_in(text: str) -> tuple[str, ...]:
    """Words of a cell."""
    return tuple(text.split())


@cache
def table(name: str) -> tuple[SimpleNamespace, ...]:
    """Rows of `data/phrases/<name>.tsv` as objects with one attribute for each column."""
    lines = data_path("phrases", name + ".tsv").read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t")
    return tuple(
        SimpleNamespace(**dict(zip(header, line.split("\t"), strict=True))) for line in lines[1:]
    )


@no_type_check
@cache
def fits(tags: str, wanted: str) -> bool:
    """Whether two strings of tags have a tag in common."""
    return not set(tags.split()).isdisjoint(wanted.split())


@no_type_check
def with_article(english: list[Token], article: str, label: str) -> list[Token]:
    """Put "a", "an" or "the" (or, for "none", nothing) before an English noun phrase."""
    if article == "none":
        return english
    if article == "a" and english[0][0][0] in "aeiou":
        article = "an"
    return [(article, label), *english]


@no_type_check
def adjective_form(adjective: SimpleNamespace, gender: str, case: str, animate: bool) -> str:
    """The form of an adjective or determiner beside a noun of this gender ("p": plural)."""
    if gender == "f":
        key = {"nom": "f", "acc": "acc_f"}.get(case, case + "_f")
    elif case == "nom" or (case == "acc" and (gender in "np" or not animate)):
        key = gender
    else:
        key = ("gen" if case == "acc" else case) + "_m"
    return getattr(adjective, key)


@no_type_check
@dataclass(frozen=True, eq=False)
class Person:
    """Someone a sentence can be about: a pronoun, a name, "my older brother", "ivan 's sister".

    Parameters
    ----------
    forms : dict of str to str
        Russian head by case: nom, gen, dat, acc, ins, and u (after the preposition).
    before : dict of str to list of (str, int)
        Russian words before the head by case, each with its place in `ROLES`.
    after : str
        Possessor after the head ("маши"), or "".
    english, english_object : list of (str, int)
        English words with their place in `ROLES`.
    person : int
        0 to 4 for "я", "ты", "он/она", "мы", "они".
    gender : str
        "m", "f" or "p" (plural).
    possessive : str
        English possessive ("my", "her") for "свой".
    kind : str
        Tags: pronoun, name, parent, grand, kin, role, child, pet, parents, own ...
    """

    forms: dict[str, str]
    before: dict[str, list[tuple[str, int]]]
    after: str
    english: list[tuple[str, int]]
    english_object: list[tuple[str, int]]
    person: int
    gender: str
    possessive: str
    kind: str
    _cache: dict = field(default_factory=dict, repr=False)

    def ru(self, case: str, role: str) -> list[Token]:
        """Russian tokens in a case ("u" is the genitive after the preposition)."""
        key = (case, role)
        if key not in self._cache:
            labels = ROLES[role]
            found = [(w, labels[k]) for w, k in self.before.get(case.replace("u", "gen"), [])]
            found.append((self.forms[case], labels[0]))
            found += [(self.after, labels[3])] if self.after else []
            self._cache[key] = found
        return self._cache[key]

    def en(self, role: str, owner: Person | None = None, use: str = "subject") -> list[Token]:
        """English tokens as subject, object or possessive ("my brother 's")."""
        key = (role, use, owner.possessive if owner and "own" in self.kind else "")
        if key not in self._cache:
            self._cache[key] = self._english(role, use, key[2])
        return self._cache[key]

    def _english(self, role: str, use: str, own: str) -> list[Token]:
        labels = ROLES[role]
        words = self.english if use == "subject" else self.english_object
        if use == "possessive":
            if "pronoun" in self.kind:
                return [(self.possessive, labels[0])]
            words = [*self.english, ("'" if self.gender == "p" else "'s", 0)]
        return [(own if w == "own" else w, labels[k]) for w, k in words]


def _pronouns() -> list[Person]:
    found = []
    for row in table("pronouns"):
        forms = {case: getattr(row, case) for case in ("nom", "gen", "dat", "acc", "ins")}
        forms["u"] = row.after_u
        for gender in "mf" if row.gender == "x" else row.gender:
            found.append(
                Person(
                    forms,
                    {},
                    "",
                    [(row.english, 0)],
                    [(row.object, 0)],
                    int(row.person),
                    gender,
                    row.possessive,
                    "pronoun",
                )
            )
    return found


def _person(row, before=(), after="", english=(), kind="") -> Person:
    forms = {case: getattr(row, case) for case in ("nom", "gen", "dat", "acc", "ins")}
    forms["u"] = row.gen
    words = {}
    for case in ("nom", "gen", "dat", "acc", "ins"):
        words[case] = [(adjective_form(d, row.gender, case, True), k) for d, k in before]
    phrase = [*english, (row.english, 0)]
    possessive = {"m": "his", "f": "her", "p": "their"}[row.gender]
    return Person(
        forms,
        words,
        after,
        phrase,
        phrase,
        4 if row.gender == "p" else 2,
        row.gender,
        possessive,
        row.kind + kind,
    )


@cache
def people() -> dict[str, tuple[Person, ...]]:
    """All people by group: pronoun, name, family, kin ("my sister"), of ("ivan 's
    sister"), own, role, pet."""
    groups = {name: [] for name in ("pronoun", "name", "family", "kin", "of", "own", "role", "pet")}
    groups["pronoun"] = _pronouns()
    names = [row for row in table("people") if row.kind == "name"]
    for row in table("people"):
        kinds = row.kind.split()
        if "name" in kinds:
            groups["name"].append(_person(row))
        elif kinds[0] in ("parent", "grand"):
            groups["family"].append(_person(row))
        elif kinds[0] in ("role", "pet"):
            groups[kinds[0]].append(_person(row, english=[("the", 0)]))
        if kinds[0] in ("kin", "parents"):
            for owner in table("determiners"):
                if owner.english != "this":
                    group = "own" if owner.english == "own" else "kin"
                    groups[group].append(
                        _person(row, [(owner, 1)], "", [(owner.english, 1)], " " + owner.english)
                    )
        if kinds[0] == "pet":
            for owner in table("determiners")[:5]:
                groups["pet"].append(_person(row, [(owner, 1)], "", [(owner.english, 1)]))
        if kinds[0] == "kin":
            for name in names:
                groups["of"].append(
                    _person(row, (), name.gen, [(name.english, 3), ("'s", 3)], " of")
                )
    return {name: tuple(found) for name, found in groups.items()}


@no_type_check
@cache
def adjectives_of(tags: str) -> tuple[SimpleNamespace, ...]:
    """Adjectives that go with a noun of these tags."""
    return tuple(row for row in table("adjectives") if fits(row.tags, tags))


@no_type_check
@cache
def nouns_with(tags: str, plural: bool = False) -> tuple[SimpleNamespace, ...]:
    """Nouns with one of these tags (with a plural, if asked for)."""
    return tuple(
        row for row in table("nouns") if fits(row.tags, tags) and (not plural or row.plural != "-")
    )


@no_type_check
def noun_phrase(
    noun,
    case,
    role="o",
    *,
    adjective=None,
    owner=None,
    english_owner=None,
    article="a",
    plural=False,
) -> tuple[list[Token], list[Token]]:
    """A noun with its adjective and its determiner or possessor, in both languages.

    Parameters
    ----------
    noun, adjective : row of a table
        What is said.
    case : str
        nom, gen or acc.
    role : str
        Which labels to use.
    owner : row of the determiners, Person or None
        "мой", "этот", or the person in the genitive after the noun.
    english_owner : str, optional
        English word for the owner where it depends on the subject ("свой").
    article : str
        a, the or none, where there is no owner.
    plural : bool
        Number of the noun.
    """
    labels, gender = ROLES[role], "p" if plural else noun.gender
    animate = fits(noun.tags, "animal")
    russian = [(getattr(noun, ("pl_" if plural else "") + case), labels[0])]
    english = [(noun.plural if plural else noun.english, labels[0])]
    if adjective:
        russian.insert(0, (adjective_form(adjective, gender, case, animate), labels[2]))
        english.insert(0, (adjective.english, labels[2]))
    if isinstance(owner, Person):
        return russian + owner.ru("gen", "p"), owner.en("p", use="possessive") + english
    if owner:
        word = english_owner or (owner.plural if plural else owner.english)
        russian.insert(0, (adjective_form(owner, gender, case, animate), labels[1]))
        return russian, [(word, labels[1]), *english]
    bare = (fits(noun.tags, "mass") and article == "a") or (plural and article == "a")
    fixed = "the" if fits(noun.tags, "the") else article
    return russian, with_article(english, "none" if bare else fixed, labels[0])


@no_type_check
def russian_verb(verb, who: Person, tense: str) -> list[Token]:
    """Finite verb form that agrees with the subject; imperfective future with "буду"."""
    if tense == "past":
        return [(words_in(verb.past)[GENDERS.index(who.gender)], "v")]
    if tense == "future" and verb.aspect == "i":
        return [(WILL[who.person], "a"), (verb.infinitive, "v")]
    return [(words_in(verb.present)[who.person], "v")]


@no_type_check
def main_tokens(verb, form: str) -> list[Token]:
    """English main verb; "to" has its own label where Russian has a preposition too."""
    found = tokens(form, "v")
    return [*found[:-1], ("to", "r")] if getattr(verb, "frame", "") == "ins" else found


@no_type_check
def english_verb(
    verb, who: Person, tense: str, *, negative=False, habit=False, question=False
) -> tuple[list[Token], list[Token]]:
    """English auxiliaries (with "not") and main verb for a Russian tense and aspect."""
    running = verb.style == "prog" and not habit and tense != "future"
    if tense == "past" and negative:
        running = False
    if negative and verb.base == "eat":
        running = False
    no = [("not", "n")] if negative else []
    if running:
        return [(BE[tense][who.person], "v"), *no], main_tokens(verb, verb.ing)
    if tense == "future":
        return [("will", "a" if verb.aspect == "i" else "v"), *no], main_tokens(verb, verb.base)
    if negative or question:
        word = "did" if tense == "past" else DOES[who.person]
        return [(word, "v"), *no], main_tokens(verb, verb.base)
    third = tense == "present" and who.person == 2
    form = verb.simple_past if tense == "past" else verb.third if third else verb.base
    return [], main_tokens(verb, form)
