"""The sentence patterns of the embedded data: each draws one clause in Russian and English.

Every pattern says what a native speaker would: subjects, verbs and nouns are matched by the
tags of the lexicon. The same Russian clause never has two translations; in English, adverbs of
time stand at the end, the experiencer comes first and the owner before the thing owned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from course_utils.datasets.lexicon import (
    BE,
    DOES,
    WILL,
    Person,
    Token,
    adjectives_of,
    english_verb,
    fits,
    noun_phrase,
    nouns_with,
    people,
    russian_verb,
    table,
    tokens,
    with_article,
)

TENSES = (("present", 45), ("past", 40), ("future", 15))


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


def be(tense: str, person: int, label: str = "x") -> list[Token]:
    """English "be" as one or two words."""
    if tense == "future":
        return [("will", label), ("be", label)]
    return [(BE[tense][person], label)]


def was(tense: str, form: int, label: str = "x") -> list[Token]:
    """Russian "быть" for past (form: 0 m, 1 f, 2 n, 3 plural) and future; nothing at present."""
    if tense == "past":
        return [(("был", "была", "было", "были")[form], label)]
    return [("будут" if form == 3 else "будет", label)] if tense == "future" else []


FORM = {"m": 0, "f": 1, "n": 2, "p": 3}


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
        left = self.random() * sum(weight for _, weight in options)
        for key, weight in options:
            left -= weight
            if left < 0:
                return key
        return options[-1][0]

    def word(self, kind: str):
        """A row of `words.tsv` of this kind."""
        return self.one(words_of(kind))

    def person(self, weights="pronoun 30 name 27 family 15 kin 20 role 8", *, plural=True):
        """Someone; without `plural`, nobody whose oblique forms need a plural determiner."""
        parts = weights.split()
        group = self.weighted([(g, int(w)) for g, w in zip(parts[::2], parts[1::2])])
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

    # ---- actions -------------------------------------------------------------------------
    def action(self, tense=None, who=None, *, adverb=True, negative=None) -> Clause | None:
        """Somebody does something: subject, verb and what the verb asks for."""
        tense = tense or self.weighted(TENSES)
        verb = self.one(VERBS[tense])
        who = who or self.person()
        if "pet" in who.kind and not (verb.frame in ("intr", "place")):
            return None
        habit = tense == "present" and adverb and verb.aspect == "i" and self.chance(0.22)
        negative = self.chance(0.12) and not habit if negative is None else negative
        found = getattr(self, "_" + verb.frame)(verb, who, tense, habit, negative)
        if found is None:
            return None
        ru_rest, en_rest, combos = found
        ru_verb = [("не", "n")] * negative + russian_verb(verb, who, tense)
        aux, main = english_verb(verb, who, tense, negative=negative, habit=habit)
        ru = who.ru("nom", "s") + ru_verb + ru_rest
        en = who.en("s") + aux + main + en_rest
        cut = (len(who.ru("nom", "s")), len(who.en("s")) + len(aux))
        shape = tense + aux[0][0] if aux else tense
        if habit:
            ru, en = self._habit(verb, who, ru_verb + ru_rest, main + en_rest)
        elif adverb and self.chance(0.35):
            ru, en = self._time(verb, tense, ru, en)
        return Clause(ru, en, combos, tense, who, "action",
                      None if habit or negative or adverb else cut, shape)

    def _habit(self, verb, who, ru_rest, en_rest):
        if self.chance(0.6):
            row = self.word("often")
            return (who.ru("nom", "s") + [(row.russian, "t")] + ru_rest,
                    who.en("s") + [(row.english, "t")] + en_rest)
        row = self.word("habit")
        ru_time, en_time = tokens(row.russian, "t"), tokens(row.english, "t")
        return ru_time + who.ru("nom", "s") + ru_rest, who.en("s") + en_rest + en_time

    def _time(self, verb, tense, ru, en):
        if tense == "present" and verb.style != "prog":
            return ru, en
        long = verb.frame in ("place", "to")
        row = self.word(("time_" if long else "day_") + tense)
        return tokens(row.russian, "t") + ru, en + tokens(row.english, "t")

    def _acc(self, verb, who, tense, habit, negative):
        plural = self.chance(0.7 if habit else 0.15)
        options = nouns_with(verb.tags, plural)
        if not options:
            return None
        noun = self.one(options)
        if habit and noun.plural == "-" and not noun_is(noun, "mass the"):
            return None
        if habit and noun.plural != "-" and not plural:
            return None
        if habit and verb.base in ("look for", "wear") or (plural and noun_is(noun, "animal")):
            return None
        if odd(who, noun) and verb.base in ("wear", "buy", "sell", "look for", "lose"):
            return None
        return self._object(verb, noun, who, tense, plural, negative)

    def _object(self, verb, noun, who, tense, plural, negative, article=None):
        article = article or verb.article
        adjective, owner, own = self._adjective(noun, 0.4), None, None
        losing = verb.base in ("lose", "sell") and adjective is not None
        if adjective and not losing and verb.base != "look for" and not noun_is(noun, "mass"):
            article = "a"
        if verb.base == "eat" and article == "a" and noun_is(noun, "bake"):
            article = "none"
        if losing or verb.base in ("look for", "lose", "sell") and self.chance(0.5):
            owner, own = DETERMINERS["own"], who.possessive
        elif article == "the" and not noun_is(noun, "mass") and self.chance(0.4):
            owner = DETERMINERS["this"]
        elif verb.base in ("read", "watch") and self.chance(0.25) and tense != "present":
            owner = DETERMINERS["this"]
        if negative and tense == "past" and article == "a" and not noun_is(noun, "mass"):
            article = "the"
        if own and (noun.gender == "n" and not plural):
            return None
        ru, en = noun_phrase(noun, "acc", adjective=adjective, owner=owner, english_owner=own,
                             article=article, plural=plural)
        return ru, en, combos_of(verb, noun, adjective)

    def _adjective(self, noun, probability):
        options = adjectives_of(noun.tags)
        return self.one(options) if options and self.chance(probability) else None

    def _fan(self, verb, who, tense, habit, negative):
        if tense == "future" or habit:
            return None
        noun = self.one(nouns_with("fan"))
        plural = noun.plural != "-"
        adjective = None if noun_is(noun, "animal") else self._adjective(noun, 0.4)
        ru, en = noun_phrase(noun, "acc", adjective=adjective, article="none", plural=plural)
        return ru, en, combos_of(verb, noun, adjective)

    def _see(self, verb, who, tense, habit, negative):
        if habit or negative:
            return None
        if self.chance(0.15):
            pet = self.one([p for p in people()["pet"] if p.before and not clash(who, p)])
            return (pet.ru("acc", "o"), pet.en("o", who), (("see", pet.english[-1][0]),))
        if self.chance(0.4):
            return self._person(verb, who, tense, habit, negative)
        noun = self.one(nouns_with(verb.tags))
        adjective = self._adjective(noun, 0.5)
        ru, en = noun_phrase(noun, "acc", adjective=adjective)
        return ru, en, combos_of(verb, noun, adjective)

    def _person(self, verb, who, tense, habit, negative, case="acc"):
        if tense == "future" and verb.style == "stat":
            return None
        whom = self.other(who, case)
        if verb.base in ("know", "remember") and fits(whom.kind, "parent grand own child"):
            return None
        if verb.base == "meet" and habit:
            return None
        if habit and (verb.style == "stat" or verb.base == "wait for"):
            return None
        english = whom.en("o", who, use="object")
        return whom.ru(case, "o"), english, ((verb.base, english[-1][0]),)

    def _dat(self, verb, who, tense, habit, negative):
        return self._person(verb, who, tense, habit, negative, "dat")

    def _ins(self, verb, who, tense, habit, negative):
        ru, en, combos = self._person(verb, who, tense, habit, negative, "ins")
        return [("со" if ru[0][0] == "мной" else "с", "v"), *ru], en, combos

    def _place(self, verb, who, tense, habit, negative):
        row = self.one(places_with(verb.tags))
        if "child" in who.kind and (verb.base == "work" or "job" in row.tags):
            return None
        return [*place_ru(row)], place_en(row.english_where), ((verb.base, noun_of(row)),)

    def _to(self, verb, who, tense, habit, negative):
        row = self.one(places_with(verb.tags))
        young, old = "child" in who.kind, fits(who.kind, "grand parent parents elder")
        if (young and "job" in row.tags) or (old and "study" in row.tags):
            return None
        if verb.infinitive == "ехать" and habit:
            return None
        if verb.infinitive == "ходить" and not habit and noun_of(row) not in ("school", "university", "work"):
            return None
        ru = [(row.preposition, "r"), (row.whither, "l")]
        return ru, place_en(row.english_whither), ((verb.base, noun_of(row)),)

    def _intr(self, verb, who, tense, habit, negative):
        if habit and verb.base != "dance":
            return None
        return [], [], ()

    def _give(self, verb, who, tense, habit, negative):
        noun, whom = self.one(nouns_with(verb.tags)), self.other(who, "dat")
        if negative or odd(whom, noun) or (noun_is(noun, "dress") and whom.gender == "p"):
            return None
        adjective = self._adjective(noun, 0.5)
        ru, en = noun_phrase(noun, "acc", adjective=adjective)
        return (whom.ru("dat", "i") + ru, whom.en("i", who, use="object") + en,
                combos_of(verb, noun, adjective))

    def _show(self, verb, who, tense, habit, negative):
        noun, whom = self.one(nouns_with("photo letter vehicle gift book")), self.other(who, "dat")
        adjective = self._adjective(noun, 0.7)
        ru, en = noun_phrase(noun, "acc", adjective=adjective, article="a" if adjective else "the")
        return (whom.ru("dat", "i") + ru, whom.en("i", who, use="object") + en,
                combos_of(verb, noun, adjective))

    # ---- word order ----------------------------------------------------------------------
    def object_first(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "эту книгу написала моя сестра": object, verb, subject."""
        verb = self.one(OBJECT_FIRST)
        noun = self.one(nouns_with(verb.tags))
        who = self.person("name 40 family 20 kin 40")
        adjective = self._adjective(noun, 0.35)
        if "pet" in who.kind or noun_is(noun, "mass"):
            return None
        ru, en = noun_phrase(noun, "acc", adjective=adjective, owner=DETERMINERS["this"])
        _, main = english_verb(verb, who, "past")
        return Clause(ru + russian_verb(verb, who, "past") + who.ru("nom", "s"),
                      who.en("s") + main + en, combos_of(verb, noun, adjective), "past", who,
                      "object_first")

    def liking(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "мне нравится эта песня", also with the song first."""
        tense = "past" if tense == "past" else "present" if tense else self.one(("present",
                                                                                "past"))
        who = who or self.person("pronoun 45 name 25 family 10 kin 20", plural=False)
        plural = self.chance(0.2)
        noun = self.one(nouns_with("like", plural))
        adjective = self._adjective(noun, 0.3)
        personal = tense == "present" and noun_is(noun, "wear thing house photo")
        owner = self._owner() if personal and self.chance(0.5) else DETERMINERS["this"]
        if not fits_case(who, False) or bad_owner(owner, noun, plural):
            return None
        if isinstance(owner, Person) and clash(who, owner):
            return None
        gender, negative = "p" if plural else noun.gender, self.chance(0.2)
        ru_n, en_n = noun_phrase(noun, "nom", adjective=adjective, owner=owner, plural=plural)
        if tense == "past":
            form = ("понравился", "понравилась", "понравилось", "понравились")[FORM[gender]]
        else:
            form = "нравятся" if plural else "нравится"
        ru_v = [("не", "n")] * negative + [(form, "v")]
        aux, main = english_verb(LIKE, who, tense, negative=negative)
        first = self.weighted((("who", 55), ("what", 30), ("end", 15)))
        first = "what" if first == "end" and "pronoun" in who.kind else first
        ru_who = who.ru("dat", "s")
        ru = {"who": ru_who + ru_v + ru_n, "what": ru_n + ru_who + ru_v,
              "end": ru_n + ru_v + ru_who}[first]
        return Clause(ru, who.en("s") + aux + main + en_n,
                      combos_of(LIKE, noun, adjective), tense, who, "liking")

    def _owner(self):
        if self.chance(0.5):
            return DETERMINERS[self.one(("my", "your", "our", "his", "their"))]
        while True:
            who = self.person("name 50 family 20 kin 30", plural=False)
            if not who.after:
                return who

    # ---- having, needing -----------------------------------------------------------------
    def having(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "у маши есть собака", "у меня нет собаки"."""
        tense = tense or self.weighted((("present", 65), ("past", 25), ("future", 10)))
        who = who or self.person("pronoun 45 name 25 family 10 kin 20", plural=False)
        if not fits_case(who, False) or who.forms["u"] == "-" or "pet" in who.kind:
            return None
        noun = self.one(nouns_with("have pet"))
        adjective, negative = self._adjective(noun, 0.5), self.chance(0.35)
        if (negative and tense == "future") or odd(who, noun):
            return None
        aux, main = english_verb(HAVE, who, tense, negative=negative)
        case = "gen" if negative else "nom"
        ru_n, en_n = noun_phrase(noun, case, adjective=adjective)
        if negative:
            middle = [("нет", "nv")] if tense == "present" else [("не", "n"), ("было", "v")]
        else:
            middle = was(tense, FORM[noun.gender], "v") or [("есть", "v")]
        ru = [("у", "v"), *who.ru("u", "s"), *middle, *ru_n]
        return Clause(ru, who.en("s") + aux + main + en_n,
                      combos_of(HAVE, noun, adjective), tense, who, "having")

    def counting(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "у маши два кота", "у нас было пять яблок"."""
        tense = tense or self.weighted((("present", 75), ("past", 25)))
        who = who or self.person("pronoun 45 name 25 family 10 kin 20", plural=False)
        noun = self.one(nouns_with("many"))
        if tense == "future" or not fits_case(who, False) or who.forms["u"] == "-" or (
                odd(who, noun) or (noun_is(noun, "siblings") and tense == "past")):
            return None
        count = 2 + int(self.random() * (3 if noun_is(noun, "siblings pet house vehicle") else 7))
        word = "две" if count == 2 and noun.gender == "f" else NUMBERS[count].russian
        form = noun.gen if count < 5 else noun.pl_gen
        aux, main = english_verb(HAVE, who, tense)
        past = was(tense, 2, "v") if tense == "past" else []
        ru = [("у", "v"), *who.ru("u", "s"), *past, (word, "D"), (form, "o")]
        en = who.en("s") + aux + main + [(NUMBERS[count].english, "D"), (noun.plural, "o")]
        return Clause(ru, en, (("have", noun.english),), tense, who, "counting")

    def sibling(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "у меня есть старший брат"."""
        who = self.person("pronoun 60 name 40", plural=False)
        if who.forms["u"] == "-":
            return None
        row = self.one([r for r in table("people") if "sibling" in r.kind])
        adjective = self.one([a for a in table("adjectives") if a.tags == "sibling"])
        negative, bare = self.chance(0.3), self.chance(0.3)
        case, key = ("gen", "gen_") if negative else ("nom", "")
        aux, main = english_verb(HAVE, who, "present", negative=negative)
        ru = [] if bare else [(getattr(adjective, key + row.gender), "O")]
        en = [] if bare else [(adjective.english, "O")]
        ru = [("у", "v"), *who.ru("u", "s"), ("нет", "nv") if negative else ("есть", "v"),
              *ru, (getattr(row, case), "o")]
        en = who.en("s") + aux + main + with_article([*en, (row.english, "o")], "a", "o")
        combos = () if bare else ((adjective.english, row.english),)
        return Clause(ru, en, combos, "present", who, "sibling")

    def needing(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "маше нужен новый телефон"."""
        tense = tense or self.weighted((("present", 75), ("past", 25)))
        who = who or self.person("pronoun 45 name 30 family 10 kin 15", plural=False)
        if not fits_case(who, False) or "pet" in who.kind or tense == "future":
            return None
        noun, negative = self.one(nouns_with("need")), self.chance(0.2) and tense == "present"
        if odd(who, noun):
            return None
        adjective = self._adjective(noun, 0.6)
        form = ("нужен", "нужна", "нужно")[FORM[noun.gender]]
        aux, main = english_verb(NEED, who, tense, negative=negative)
        past = was(tense, FORM[noun.gender], "v")
        ru_n, en_n = noun_phrase(noun, "nom", adjective=adjective)
        ru = who.ru("dat", "s") + [("не", "n")] * negative + (
            past + [(form, "v")] if negative else [(form, "v"), *past]) + ru_n
        return Clause(ru, who.en("s") + aux + main + en_n, combos_of(NEED, noun, adjective),
                      tense, who, "needing")

    # ---- states --------------------------------------------------------------------------
    def feeling(self, tense=None, who=None, *, adverb=True, word=None) -> Clause | None:
        """ "мне холодно", "маше было скучно"."""
        tense = tense or self.weighted(TENSES)
        who = who or self.person("pronoun 45 name 25 family 15 kin 15", plural=False)
        if not fits_case(who, False):
            return None
        row = next(r for r in words_of("state") if r.russian == word) if word else (
            self.word("state"))
        negative = self.chance(0.2) and row.more == "be" and word is None
        ru = who.ru("dat", "s") + [("не", "n")] * negative + was(tense, 2)
        ru += tokens(row.russian, "c")
        if row.more == "feel":
            aux, main = english_verb(FEEL, who, tense)
            verb = [(w, "x" if tense == "future" and w == "will" else "c") for w, _ in aux + main]
            if tense == "past":
                verb = [(w, "xc") for w, _ in verb]
        else:
            verb = be(tense, who.person, "c" if tense == "present" else "x")
            verb = verb[:1] + [("not", "n")] * negative + verb[1:]
        en = who.en("s") + verb + tokens(row.english, "c")
        ru, en = self._day(ru, en, tense, adverb and not negative)
        return Clause(ru, en, (), tense, who, "feeling")

    def _day(self, ru, en, tense, allowed, probability=0.35):
        if not (allowed and self.chance(probability)):
            return ru, en
        row = self.word("day_" + tense)
        return tokens(row.russian, "t") + ru, en + tokens(row.english, "t")

    def condition(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "моя сестра занята", "иван был рад"."""
        tense = tense or self.weighted(TENSES)
        who = who or self.person()
        if "pet" in who.kind:
            return None
        row, negative = self.word("short"), self.chance(0.2)
        return self._be(who, row.russian.split()["mfp".index(who.gender)],
                        tokens(row.english, "c"), tense, negative, adverb, "condition")

    def _be(self, who, russian, english, tense, negative, adverb, kind, combos=()):
        label = "c" if tense == "present" else "x"
        form = [(WILL[who.person], "x")] if tense == "future" else (
            was(tense, FORM[who.gender]))
        verb = be(tense, who.person, label)
        en = who.en("s") + verb[:1] + [("not", "n")] * negative + verb[1:] + english
        ru = who.ru("nom", "s") + [("не", "n")] * negative + form + tokens(russian, "c")
        ru, en = self._day(ru, en, tense, adverb and not negative)
        return Clause(ru, en, combos, tense, who, kind)

    def weather(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "на улице холодно", "завтра в москве будет тепло"."""
        tense = tense or self.weighted(TENSES)
        row, outside = self.word("weather"), self.chance(0.4)
        if outside:
            ru, place = tokens("на улице", "l"), [("outside", "l")]
        else:
            spot = self.one(places_with("cold rest room"))
            unfit = {"тихо": "city", "темно": "city rest"}.get(row.russian, "")
            if fits(spot.tags, unfit):
                return None
            ru, place = place_ru(spot), place_en(spot.english_where)
        ru = ru + was(tense, 2) + [(row.russian, "c")]
        en = [("it", "c"), *be(tense, 2, "c" if tense == "present" else "x"),
              (row.english, "c"), *place]
        ru, en = self._day(ru, en, tense, adverb)
        return Clause(ru, en, (), tense, None, "weather")

    def rain(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "завтра будет дождь"."""
        tense = tense or self.one(("past", "future"))
        if tense == "present":
            return None
        word, verb = self.one((("дождь", "rain"), ("снег", "snow")))
        en = [("it", "c"), ("will", "x"), (verb, "c")] if tense == "future" else (
            [("it", "c"), ("was", "x"), (verb + "ing", "c")])
        ru, en = self._day([*was(tense, 0), (word, "c")], en, tense, adverb, 0.9)
        return Clause(ru, en, (), tense, None, "rain")

    def aching(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "у меня болит голова": the owner becomes a possessive."""
        tense = tense or self.weighted((("present", 70), ("past", 30)))
        who = who or self.person("pronoun 40 name 25 family 15 kin 20", plural=False)
        if tense == "future" or not fits_case(who, False) or (
                who.gender == "p" or who.forms["u"] == "-"):
            return None
        row = self.word("body")
        gender = {"о": 2, "а": 1}.get(row.russian[-1], 0)
        form = "болит" if tense == "present" else ("болел", "болела", "болело")[gender]
        ru = [("у", "s"), *who.ru("u", "s"), (form, "v"), (row.russian, "o")]
        en = [*who.en("s", use="possessive"), (row.english, "o"),
              ("hurts" if tense == "present" else "hurt", "v")]
        ru, en = self._day(ru, en, tense, adverb, 0.2)
        return Clause(ru, en, (), tense, who, "aching")

    def age(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "мне двадцать лет" with год, года, лет."""
        tense = tense or self.weighted((("present", 80), ("past", 20)))
        who = who or self.person("pronoun 38 name 20 family 14 kin 23 pet 5", plural=False)
        if tense == "future" or not fits_case(who, False) or who.gender == "p":
            return None
        ru_n, en_n = number(self._years(who, tense))
        ru = who.ru("dat", "s") + (was(tense, 2) if tense == "past" else []) + ru_n
        label = "y" if tense == "present" else "x"
        en = who.en("s") + be(tense, who.person, label) + en_n + [("old", "y")]
        return Clause(ru, en, (), tense, who, "age")

    def _years(self, who, tense):
        ages = [(5, 55), (30, 59), (60, 79), (1, 15), (25, 69)]
        kinds = ("", "parent", "grand", "child", "elder")
        low, high = ages[next((k for k in (1, 2, 3, 4) if kinds[k] in who.kind.split()), 0)]
        if "pet" in who.kind:
            low, high = 1, 15
        if tense == "past":
            low, high = (5, 19) if low < 25 else (low, high)
        return low + int(self.random() * (high - low + 1))

    # ---- being ---------------------------------------------------------------------------
    def job(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "мой брат врач", "иван не врач"."""
        who = self.person("pronoun 25 name 35 kin 40")
        row, negative = self.word("job"), self.chance(0.25)
        if who.gender == "p" or set(who.kind.split()) & {"pet", "child"}:
            return None
        en = with_article([(row.english, "c")], "a", "c")
        return self._be(who, row.russian, en, "present", negative, False, "job")

    def comparing(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "маша старше ивана"."""
        who, than = self.person("pronoun 30 name 40 kin 30"), None
        than = self.person("pronoun 30 name 40 kin 30", plural=False)
        row = self.word("compare")
        if clash(who, than) or clash(than, who) or than.forms["gen"] == "-":
            return None
        if fits(who.kind + " " + than.kind, "child elder parents pet"):
            return None
        ru = who.ru("nom", "s") + [(row.russian, "c")] + than.ru("gen", "o")
        en = [*who.en("s"), *be("present", who.person, "c"), (row.english, "c"), ("than", "c"),
              *than.en("o", use="object")]
        return Clause(ru, en, (), "present", who, "comparing")

    def quality(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "эта книга интересная", "машина моего брата старая"."""
        noun = self.one(nouns_with("text show song wear thing dish photo flower fruit"))
        adjective, plural = self._adjective(noun, 1.0), noun.plural != "-" and self.chance(0.25)
        personal = noun_is(noun, "wear thing") and self.chance(0.6)
        owner = self._owner() if personal else DETERMINERS["this"]
        if adjective is None or bad_owner(owner, noun, plural):
            return None
        gender = "p" if plural else noun.gender
        negative = adjective.english in PLAIN and self.chance(0.3)
        ru, en = noun_phrase(noun, "nom", "s", owner=owner, plural=plural)
        ru = ru + [("не", "n")] * negative + [(getattr(adjective, gender), "c")]
        en = [*en, *be("present", 4 if plural else 2, "c"), *[("not", "n")] * negative,
              (adjective.english, "c")]
        return Clause(ru, en, ((adjective.english, noun.english),), "present", None, "quality")

    def this_is(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "это книга моего брата", "это моя любимая песня"."""
        noun, owner = self.one(nouns_with("have give small song text show")), self._owner()
        adjective = self._adjective(noun, 0.4)
        if noun_is(noun, "song text show"):
            adjective = FAVORITE if self.chance(0.6) else adjective
            if isinstance(owner, Person) and adjective is FAVORITE:
                owner = DETERMINERS["my"]
            elif adjective is not FAVORITE:
                return None
        if bad_owner(owner, noun, False):
            return None
        negative = self.chance(0.2) and adjective is not FAVORITE
        ru, en = noun_phrase(noun, "nom", adjective=adjective, owner=owner)
        ru = [("это", "x"), *[("не", "n")] * negative, *ru]
        en = [("this", "x"), ("is", "x"), *[("not", "n")] * negative, *en]
        combos = ((adjective.english, noun.english),) if adjective else ()
        return Clause(ru, en, combos, "present", None, "this_is")

    # ---- places --------------------------------------------------------------------------
    def lying(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "на столе лежит книга" (there is) or "книга лежит на столе" (the book is)."""
        tense = "past" if tense == "past" or (tense is None and self.chance(0.3)) else "present"
        stand = self.chance(0.3)
        spot = self.one(spots_with("top" if stand else "top inside soft"))
        plural = self.chance(0.25)
        noun = self.one(nouns_with("stand" if stand else "lie", plural))
        if (spot.english == "in the bag" and not noun_is(noun, "small read book ticket fruit")) or (
                noun.english == "guitar" and spot.noun not in ("полу",)):
            return None
        if noun_is(noun, "fruit tasty") and spot.noun in ("полу", "стуле", "диване", "кровати",
                                                          "шкафу"):
            return None
        adjective = self._adjective(noun, 0.35)
        existential = self.chance(0.6)
        ru, en = noun_phrase(noun, "nom", adjective=adjective,
                             article="a" if existential else "the", plural=plural)
        form = FORM["p" if plural else noun.gender]
        verb = [(STAND if stand else LIE)[tense][form], "v"]
        place, where = [(spot.preposition, "r"), (spot.noun, "l")], place_en(spot.english)
        is_ = (BE[tense][4 if plural else 2], "v")
        combos = ((adjective.english, noun.english),) if adjective else ()
        if existential:
            return Clause([*place, tuple(verb), *ru], [("there", "v"), is_, *en, *where], combos,
                          tense, None, "lying")
        return Clause([*ru, tuple(verb), *place], [*en, is_, *where], combos, tense, None,
                      "lying")

    def being_at(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "маша дома", "мамы нет дома", "вчера иван был в школе"."""
        tense = tense or self.weighted(TENSES)
        who = who or self.person()
        home, absent = self.chance(0.3), self.chance(0.3) and tense != "future"
        row = self.one(places_with("study job fun quiet far room"))
        ru_p = [("дома", "l")] if home else place_ru(row)
        en_p = tokens("at home", "l") if home else place_en(row.english_where)
        if "pet" in who.kind and not home:
            return None
        label = "v"
        if absent:
            if who.forms["gen"] == "-" or not fits_case(who, False):
                return None
            no = [("нет", "nv")] if tense == "present" else [("не", "n"), ("было", "v")]
            ru, en = who.ru("gen", "s") + no + ru_p, be(tense, who.person, "v")
            en = who.en("s") + en + [("not", "n")] + en_p
        else:
            form = [(WILL[who.person], "v")] if tense == "future" else (
                was(tense, FORM[who.gender], "v"))
            label = "v" if form else "l"
            ru, en = who.ru("nom", "s") + form + ru_p, who.en("s")
            en = en + be(tense, who.person, label) + en_p
        ru, en = self._day(ru, en, tense, adverb)
        return Clause(ru, en, (), tense, who, "being_at")

    # ---- wishes, games, languages --------------------------------------------------------
    def wanting(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "маша хочет купить машину", "я должен позвонить маме"."""
        tense = "past" if tense == "past" or (tense is None and self.chance(0.25)) else "present"
        who = who or self.person()
        must = tense == "present" and self.chance(0.35)
        negative = not must and self.chance(0.2)
        verb = self.one(UNWANTED if negative else INFINITIVES)
        found = getattr(self, "_" + verb.frame)(verb, who, "future", False, False)
        if found is None or "pet" in who.kind or "children" in who.kind and must:
            return None
        ru_rest, en_rest, combos = found
        if must:
            ru_v = [(("должен", "должна", "должны")["mfp".index(who.gender)], "a")]
            en_v = tokens("has to" if who.person == 2 else "have to", "a")
        else:
            ru_v = [("не", "n")] * negative + russian_verb(WANT, who, tense)
            aux, main = english_verb(WANT, who, tense, negative=negative)
            ru_v = [(w, "n" if w == "не" else "a") for w, _ in ru_v]
            en_v = [(w, "n" if w == "not" else "a") for w, _ in aux + main] + [("to", "a")]
        ru = who.ru("nom", "s") + ru_v + [(verb.infinitive, "v")] + ru_rest
        en = who.en("s") + en_v + tokens(verb.base, "v") + en_rest
        return Clause(ru, en, combos, tense, who, "wanting")

    def playing(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "антон играет в футбол", "аня часто играет на гитаре"."""
        tense = tense or self.weighted(TENSES)
        who, row = who or self.person(), self.word("game")
        if fits(who.kind, "grand") and row.russian in ("футбол", "теннис"):
            return None
        habit, negative = tense == "present" and adverb and self.chance(0.4), self.chance(0.1)
        negative = negative and not habit
        verb = PLAY
        ru_v = [("не", "n")] * negative + russian_verb(verb, who, tense)
        aux, main = english_verb(verb, who, tense, negative=negative, habit=habit)
        ru_o = [(row.more, "r"), (row.russian, "o")]
        english = row.english.split()
        en_o = [(word, "or" if k == 0 and len(english) == 1 else "o" if k else "r")
                for k, word in enumerate(english)]
        if habit:
            ru, en = self._habit(verb, who, ru_v + ru_o, main + en_o)
            cut = None
        else:
            ru = who.ru("nom", "s") + ru_v + ru_o
            en = who.en("s") + aux + main + en_o
            cut = (len(who.ru("nom", "s")), len(who.en("s")) + len(aux))
            if adverb:
                ru, en = self._day(ru, en, tense, not negative)
        shape = tense + aux[0][0] if aux else tense
        return Clause(ru, en, (("play", english[-1]),), tense, who, "playing",
                      None if habit or negative or adverb else cut, shape)

    def learning(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "маша учит английский язык"."""
        tense = tense or self.weighted((("present", 70), ("past", 30)))
        who, row = who or self.person(), self.word("learn")
        if "pet" in who.kind or tense == "future":
            return None
        ru_v = russian_verb(LEARN, who, tense)
        aux, main = english_verb(LEARN, who, tense)
        ru = who.ru("nom", "s") + ru_v + tokens(row.russian, "o")
        en = who.en("s") + aux + main + tokens(row.english, "o")
        return Clause(ru, en, (("learn", row.english),), tense, who, "learning")

    # ---- questions -----------------------------------------------------------------------
    def question(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "где моя сумка ?", "ты любишь чай ?", "сколько лет твоему брату ?"."""
        return getattr(self, "_ask_" + self.weighted(
            (("where", 25), ("whose", 15), ("age", 15), ("have", 20), ("yes", 60))))()

    def _ask_where(self):
        plural = self.chance(0.3)
        noun = self.one(nouns_with("small lose", plural))
        owner = self._owner()
        if bad_owner(owner, noun, plural):
            return None
        ru, en = noun_phrase(noun, "nom", adjective=self._adjective(noun, 0.25), owner=owner,
                             plural=plural)
        words = [w for w, label in en if label == "O"]
        return Clause([("где", "q"), *ru],
                      [("where", "q"), ("are" if plural else "is", "q"), *en],
                      tuple((w, noun.english) for w in words), mark="?", kind="question")

    def _ask_whose(self):
        noun = self.one([n for n in nouns_with("small have") if n.gender in "mf"])
        word = {"m": "чей", "f": "чья"}[noun.gender]
        return Clause([(word, "q"), ("это", "x"), (noun.nom, "o")],
                      [("whose", "q"), (noun.english, "o"), ("is", "x"), ("this", "x")],
                      mark="?", kind="question")

    def _ask_age(self):
        who = self.person("pronoun 20 name 20 family 20 kin 40", plural=False)
        if who.person == 0:
            return None
        ru = [("сколько", "q"), ("лет", "y"), *who.ru("dat", "s")]
        if "pronoun" in who.kind:
            ru = [ru[0], ru[2], ru[1]]
        en = [("how", "q"), ("old", "y"), (BE["present"][who.person], "y"), *who.en("s")]
        return Clause(ru, en, mark="?", kind="question")

    def _ask_have(self):
        who = self.person("pronoun 60 name 25 kin 15", plural=False)
        if who.forms["u"] == "-" or who.person == 0 or "pet" in who.kind:
            return None
        noun = self.one(nouns_with("have pet"))
        if odd(who, noun):
            return None
        adjective = self._adjective(noun, 0.4)
        ru_n, en_n = noun_phrase(noun, "nom", adjective=adjective)
        ru = [("у", "v"), *who.ru("u", "s"), ("есть", "v"), *ru_n]
        en = [(DOES[who.person], "v"), *who.en("s"), ("have", "v"), *en_n]
        return Clause(ru, en, combos_of(HAVE, noun, adjective), mark="?", kind="question")

    def _ask_yes(self):
        tense = self.weighted((("present", 70), ("past", 30)))
        verb, who = self.one(VERBS[tense]), self.person("pronoun 45 name 25 family 10 kin 20")
        if tense == "past" and verb.aspect == "i":
            return None
        if who.person == 0 or "pet" in who.kind or verb.frame in ("intr", "give", "show"):
            return None
        found = getattr(self, "_" + verb.frame)(verb, who, tense, False, False)
        if found is None:
            return None
        ru_rest, en_rest, combos = found
        aux, main = english_verb(verb, who, tense, question=True)
        ru = who.ru("nom", "s") + russian_verb(verb, who, tense) + ru_rest
        return Clause(ru, aux + who.en("s") + main + en_rest, combos, tense, who, "question",
                      mark="?")


# ---- helpers -----------------------------------------------------------------------------
_CACHE: dict = {}


def _cached(key, make):
    if key not in _CACHE:
        _CACHE[key] = make()
    return _CACHE[key]


def words_of(kind: str):
    """Rows of `words.tsv` of one kind."""
    return _cached(("words", kind), lambda: [r for r in table("words") if r.kind == kind])


def places_with(tags: str):
    """Rows of `places.tsv` with one of the tags."""
    wanted = set(tags.split())
    return _cached(("places", tags),
                   lambda: [r for r in table("places") if wanted & set(r.tags.split())])


def spots_with(tags: str):
    """Rows of `spots.tsv` with one of the tags."""
    wanted = set(tags.split())
    return _cached(("spots", tags),
                   lambda: [r for r in table("spots") if wanted & set(r.tags.split())])


def place_ru(row) -> list[Token]:
    """ "в школе"."""
    return [(row.preposition, "r"), (row.where, "l")]


def place_en(text: str) -> list[Token]:
    """ "at the store": the preposition has its own label."""
    words = text.split()
    return [(words[0], "r"), *[(word, "l") for word in words[1:]]]


def noun_of(row) -> str:
    """English noun of a place."""
    return row.english_where.split()[-1]


def noun_is(noun, tags: str) -> bool:
    """Whether a noun has one of the tags."""
    return _cached((noun.nom, tags), lambda: bool(set(noun.tags.split()) & set(tags.split())))


def combos_of(verb, noun, adjective) -> tuple[tuple[str, str], ...]:
    """The pairs of content words in a verb phrase."""
    found = ((verb.base, noun.english),)
    return (*found, (adjective.english, noun.english)) if adjective else found


def fits_case(who: Person, plural: bool) -> bool:
    """Whether a person has all oblique forms (plural owners have not)."""
    return plural or not (who.gender == "p" and who.before)


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
    return (a.person in (2, 4) and bool(words & {"his", "their"})) or bool(owners & words) or (
        "name" in b.kind and b.english[0][0] in (word for word, _ in a.english))


def bad_owner(owner, noun, plural: bool) -> bool:
    """Owners without a form here: "мой" and "твой" before a neuter noun, plural people."""
    if isinstance(owner, Person):
        return bool(owner.after) or (noun_is(noun, "dress") and owner.gender == "m")
    if noun_is(noun, "dress") and owner.english == "his":
        return True
    return noun.gender == "n" and not plural and getattr(owner, "n", "") == "-"


def odd(who: Person, noun) -> bool:
    """Whether this person would hardly have or wear this thing (men skirts, children cars)."""
    if noun_is(noun, "dress"):
        return who.gender == "m"
    return "child" in who.kind and noun_is(noun, "house furniture lamp vehicle keyed")


def number(years: int) -> tuple[list[Token], list[Token]]:
    """An age in words: ("двадцать один год", "twenty one years") with labels."""
    parts = [years] if years < 20 or years % 10 == 0 else [years // 10 * 10, years % 10]
    ru = [(NUMBERS[part].russian, "DE"[k]) for k, part in enumerate(parts)]
    en = [(NUMBERS[part].english, "DE"[k]) for k, part in enumerate(parts)]
    unit = year_word(years)
    return [*ru, (unit, "y")], [*en, ("year" if years == 1 else "years", "y")]


def year_word(years: int) -> str:
    """год, года or лет."""
    if years % 100 in range(11, 15) or years % 10 in (0, 5, 6, 7, 8, 9):
        return "лет"
    return "год" if years % 10 == 1 else "года"


PLAIN = ("new", "old", "big", "expensive", "hot", "long", "red", "white", "blue")
NUMBERS = {int(row.value): row for row in table("numbers")}
DETERMINERS = {row.english: row for row in table("determiners")}
FAVORITE = next(row for row in table("adjectives") if row.english == "favorite")
LIE = {"present": ("лежит", "лежит", "лежит", "лежат"),
       "past": ("лежал", "лежала", "лежало", "лежали")}
STAND = {"present": ("стоит", "стоит", "стоит", "стоят"),
         "past": ("стоял", "стояла", "стояло", "стояли")}


def _verb(infinitive: str, **changes):
    row = next(r for r in table("verbs") if r.infinitive == infinitive)
    return SimpleNamespace(**{**vars(row), **changes})


def _stative(base: str, third: str, past: str, present: str = "", russian_past: str = ""):
    return SimpleNamespace(base=base, third=third, simple_past=past, ing="", style="stat",
                           aspect="i", present=present, past=russian_past)


def _usable(tense: str):
    """Verbs with forms for this tense; people's own tense is never drawn for "любить"."""
    if tense == "present":
        return [v for v in table("verbs") if v.aspect == "i" and v.present != "-"]
    if tense == "past":
        return [v for v in table("verbs") if v.past != "-"]
    return [v for v in table("verbs") if v.style != "stat" and v.infinitive != "покупать" and (
        v.aspect == "i" or v.present != "-") and v.infinitive not in ("ехать", "плакать")]


VERBS = {tense: _usable(tense) for tense, _ in TENSES}
LIKE, HAVE = _stative("like", "likes", "liked"), _stative("have", "has", "had")
NEED, FEEL = _stative("need", "needs", "needed"), _stative("feel", "feels", "felt")
WANT = _stative("want", "wants", "wanted", "хочу хочешь хочет хотим хотят", "хотел хотела хотели")
PLAY = _verb("играть")
LEARN = SimpleNamespace(base="learn", third="learns", ing="learning", simple_past="learned",
                        style="prog", aspect="i", present="учу учишь учит учим учат",
                        past="учил учила учили")
OBJECT_FIRST = [_verb(v) for v in ("написать", "купить", "нарисовать", "приготовить")]
INFINITIVES = [_verb(v) for v in ("прочитать", "написать", "посмотреть", "приготовить", "купить",
                                  "нарисовать", "продать", "позвонить", "помочь", "поехать",
                                  "подарить")]
INFINITIVES += [_verb("съесть", article="a"), _verb("выпить", article="a")]
UNWANTED = [_verb(v) for v in ("читать", "писать", "смотреть", "слушать", "готовить", "пить",
                               "помогать", "говорить", "ехать", "гулять", "работать",
                               "танцевать", "спать", "отдыхать")]
