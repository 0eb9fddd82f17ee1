"""Sentence patterns of the embedded data: liking, having, needing, feeling, weather, age."""

from __future__ import annotations

from typing import no_type_check

from course_utils.datasets.grammar_actions import Actions
from course_utils.datasets.grammar_base import (
    FORM,
    Clause,
    bad_owner,
    be,
    clash,
    combos_of,
    fits_case,
    noun_is,
    number,
    odd,
    place_en,
    place_ru,
    places_with,
    was,
    words_of,
)
from course_utils.datasets.grammar_words import DETERMINERS, FEEL, HAVE, LIKE, NEED, NUMBERS, TENSES
from course_utils.datasets.lexicon import (
    WILL,
    Person,
    english_verb,
    fits,
    noun_phrase,
    nouns_with,
    table,
    tokens,
    with_article,
)


@no_type_check
class States(Actions):
    """Clauses about a state, many of them with the person in the dative."""

    def liking(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "мне нравится эта песня", also with the song first."""
        tense = "past" if tense == "past" else "present" if tense else self.one(("present", "past"))
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
        ru = {
            "who": ru_who + ru_v + ru_n,
            "what": ru_n + ru_who + ru_v,
            "end": ru_n + ru_v + ru_who,
        }[first]
        return Clause(
            ru,
            who.en("s") + aux + main + en_n,
            combos_of(LIKE, noun, adjective),
            tense,
            who,
            "liking",
        )

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
        aux = [(word, "v" if label == "a" else label) for word, label in aux]
        ru = [("у", "v"), *who.ru("u", "s"), *middle, *ru_n]
        return Clause(
            ru,
            who.en("s") + aux + main + en_n,
            combos_of(HAVE, noun, adjective),
            tense,
            who,
            "having",
        )

    def counting(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "у маши два кота", "у нас было пять яблок"."""
        tense = tense or self.weighted((("present", 75), ("past", 25)))
        who = who or self.person("pronoun 45 name 25 family 10 kin 20", plural=False)
        noun = self.one(nouns_with("many"))
        if (
            tense == "future"
            or not fits_case(who, False)
            or who.forms["u"] == "-"
            or (
                odd(who, noun)
                or (noun_is(noun, "siblings") and (tense == "past" or "sibling" in who.kind))
            )
        ):
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
        ru = [
            ("у", "v"),
            *who.ru("u", "s"),
            ("нет", "nv") if negative else ("есть", "v"),
            *ru,
            (getattr(row, case), "o"),
        ]
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
        if adjective and adjective.english in ("expensive", "old"):
            return None
        form = ("нужен", "нужна", "нужно")[FORM[noun.gender]]
        aux, main = english_verb(NEED, who, tense, negative=negative)
        past = was(tense, FORM[noun.gender], "v")
        ru_n, en_n = noun_phrase(noun, "nom", adjective=adjective)
        ru = (
            who.ru("dat", "s")
            + [("не", "n")] * negative
            + ([*past, (form, "v")] if negative else [(form, "v"), *past])
            + ru_n
        )
        return Clause(
            ru,
            who.en("s") + aux + main + en_n,
            combos_of(NEED, noun, adjective),
            tense,
            who,
            "needing",
        )

    def feeling(self, tense=None, who=None, *, adverb=True, word=None) -> Clause | None:
        """ "мне холодно", "маше было скучно"."""
        tense = tense or self.weighted(TENSES)
        who = who or self.person("pronoun 45 name 25 family 15 kin 15", plural=False)
        if not fits_case(who, False):
            return None
        row = (
            next(r for r in words_of("state") if r.russian == word)
            if word
            else (self.word("state"))
        )
        if tense == "future" and row.russian in ("плохо", "страшно", "грустно"):
            return None
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

    def condition(self, tense=None, who=None, *, adverb=True, word=None) -> Clause | None:
        """ "моя сестра занята", "иван был рад"."""
        tense = tense or self.weighted(TENSES)
        who = who or self.person()
        if "pet" in who.kind:
            return None
        row, negative = self.word("short"), self.chance(0.2) and word is None
        if word:
            row = next(r for r in words_of("short") if r.english == word)
        if tense == "future" and row.english in ("ill", "hungry"):
            return None
        return self._be(
            who,
            row.russian.split()["mfp".index(who.gender)],
            tokens(row.english, "c"),
            tense,
            negative,
            adverb,
            "condition",
        )

    def _be(self, who, russian, english, tense, negative, adverb, kind, combos=()):
        label = "c" if tense == "present" else "x"
        form = [(WILL[who.person], "x")] if tense == "future" else (was(tense, FORM[who.gender]))
        verb = be(tense, who.person, label)
        en = who.en("s") + verb[:1] + [("not", "n")] * negative + verb[1:] + english
        ru = who.ru("nom", "s") + [("не", "n")] * negative + form + tokens(russian, "c")
        ru, en = self._day(ru, en, tense, adverb and not negative)
        return Clause(ru, en, combos, tense, who, kind)

    def weather(self, tense=None, who=None, *, adverb=True, words=None) -> Clause | None:
        """ "на улице холодно", "завтра в москве будет тепло"."""
        tense = tense or self.weighted(TENSES)
        row, outside = self.word("weather"), self.chance(0.4) or words is not None
        if words and row.russian not in words:
            return None
        if outside:
            ru, place = tokens("на улице", "l"), [("outside", "l")]
        else:
            spot = self.one(places_with("cold rest room"))
            unfit = {"тихо": "city", "темно": "city rest"}.get(row.russian, "")
            if fits(spot.tags, unfit):
                return None
            ru, place = place_ru(spot), place_en(spot.english_where)
        ru = ru + was(tense, 2) + [(row.russian, "c")]
        en = [
            ("it", "c"),
            *be(tense, 2, "c" if tense == "present" else "x"),
            (row.english, "c"),
            *place,
        ]
        ru, en = self._day(ru, en, tense, adverb)
        return Clause(ru, en, (), tense, None, "weather")

    def aching(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "у меня болит голова": the owner becomes a possessive."""
        tense = tense or self.weighted((("present", 70), ("past", 30)))
        who = who or self.person("pronoun 40 name 25 family 15 kin 20", plural=False)
        if (
            tense == "future"
            or not fits_case(who, False)
            or (who.gender == "p" or who.forms["u"] == "-")
        ):
            return None
        row = self.word("body")
        gender = {"о": 2, "а": 1}.get(row.russian[-1], 0)
        form = "болит" if tense == "present" else ("болел", "болела", "болело")[gender]
        ru = [("у", "s"), *who.ru("u", "s"), (form, "v"), (row.russian, "o")]
        en = [
            *who.en("s", use="possessive"),
            (row.english, "o"),
            ("hurts" if tense == "present" else "hurt", "v"),
        ]
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
