"""Sentence patterns of the embedded data: who does, wants, plays, learns what."""

from __future__ import annotations

from typing import no_type_check

from course_utils.datasets.grammar_base import (
    Clause,
    Patterns,
    clash,
    combos_of,
    noun_is,
    noun_of,
    odd,
    place_en,
    place_ru,
    places_with,
)
from course_utils.datasets.grammar_words import (
    DETERMINERS,
    DUTIES,
    INFINITIVES,
    LEARN,
    PLAY,
    TENSES,
    UNWANTED,
    VERBS,
    WANT,
)
from course_utils.datasets.lexicon import (
    english_verb,
    fits,
    main_tokens,
    noun_phrase,
    nouns_with,
    people,
    russian_verb,
    tokens,
)

# Adjectives that do not go with a verb: nobody writes an old letter.
UNFIT = {
    "write": ("old", "famous"),
    "draw": ("old", "new", "smart", "expensive", "funny"),
    "see": ("smart",),
    "cook": ("cold",),
}


@no_type_check
class Actions(Patterns):
    """Clauses with a verb of action."""

    def action(
        self, tense=None, who=None, *, adverb=True, negative=None, verbs=None
    ) -> Clause | None:
        """Somebody does something: subject, verb and what the verb asks for."""
        tense = tense or self.weighted(TENSES)
        verb = self.one(verbs or VERBS[tense])
        who = who or self.person()
        if "pet" in who.kind and verb.frame not in ("intr", "place"):
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
        kind = verb.base if not negative else "not" if verb.frame != "fan" else "dislike"
        cut = (len(who.ru("nom", "s")), len(who.en("s")) + len(aux))
        shape = tense + aux[0][0] if aux else tense
        if habit:
            ru, en = self._habit(verb, who, ru_verb + ru_rest, main + en_rest)
        elif adverb and not negative and self.chance(0.35):
            ru, en = self._time(verb, tense, ru, en)
        return Clause(
            ru, en, combos, tense, who, kind, None if habit or negative or adverb else cut, shape
        )

    def _habit(self, verb, who, ru_rest, en_rest):
        if self.chance(0.6):
            row = self.word("often")
            return (
                [*who.ru("nom", "s"), (row.russian, "t"), *ru_rest],
                [*who.en("s"), (row.english, "t"), *en_rest],
            )
        row = self.word("habit")
        ru_time, en_time = tokens(row.russian, "t"), tokens(row.english, "t")
        if row.english == "every day":
            ru_time, en_time = (
                [(w, k) for (w, _), k in zip(side, "tT", strict=True)]
                for side in (ru_time, en_time)
            )
        return ru_time + who.ru("nom", "s") + ru_rest, who.en("s") + en_rest + en_time

    def _time(self, verb, tense, ru, en):
        if tense == "present" and verb.style != "prog":
            return ru, en
        long = verb.frame in ("place", "to")
        row = self.word(("time_" if long else "day_") + tense)
        if verb.frame == "intr" and tense == "present" and row.russian != "сейчас":
            return ru, en
        return tokens(row.russian, "t") + ru, en + tokens(row.english, "t")

    def _acc(self, verb, who, tense, habit, negative):
        plural = not negative and self.chance(0.7 if habit else 0.15)
        options = nouns_with(verb.tags, plural)
        if not options:
            return None
        noun = self.one(options)
        if habit and noun.plural == "-" and not noun_is(noun, "mass the"):
            return None
        if habit and noun.plural != "-" and not plural:
            return None
        if (habit and verb.base in ("look for", "wear")) or (plural and noun_is(noun, "animal")):
            return None
        if plural and (
            verb.base == "wear"
            or (verb.base in ("look for", "lose", "sell") and not noun_is(noun, "keyed ticket"))
        ):
            return None
        if negative and tense == "present" and verb.base == "eat" and not noun_is(noun, "mass"):
            return None
        if odd(who, noun) or (plural and noun_is(noun, "vehicle furniture house")):
            return None
        return self._object(verb, noun, who, tense, plural, negative)

    def _object(self, verb, noun, who, tense, plural, negative, article=None):
        article = article or verb.article
        adjective = None if negative else self._adjective(noun, 0.4)
        if adjective and adjective.english in UNFIT.get(verb.base, ()):
            adjective = None
        owner = own = None
        losing = verb.base in ("look for", "lose", "sell")
        if adjective and not losing and not noun_is(noun, "mass"):
            article = "a"
        if verb.base == "drink" or (
            verb.base == "eat" and article == "a" and noun_is(noun, "bake")
        ):
            article = "none"
        if losing and (adjective or self.chance(0.6)):
            owner, own = DETERMINERS["own"], who.possessive
        elif verb.base in ("read", "watch") and self.chance(0.25) and tense != "present":
            owner = DETERMINERS["this"]
        if negative and tense == "past" and article == "a" and not noun_is(noun, "mass"):
            article = "the"
        if own and (noun.gender == "n" and not plural):
            return None
        ru, en = noun_phrase(
            noun,
            "acc",
            adjective=adjective,
            owner=owner,
            english_owner=own,
            article=article,
            plural=plural,
        )
        return ru, en, combos_of(verb, noun, adjective)

    def _fan(self, verb, who, tense, habit, negative):
        if tense == "future" or habit:
            return None
        noun = self.one(nouns_with("fan"))
        if odd(who, noun):
            return None
        plural = noun.plural != "-"
        plain = negative or noun_is(noun, "animal")
        adjective = None if plain else self._adjective(noun, 0.4)
        ru, en = noun_phrase(noun, "acc", adjective=adjective, article="none", plural=plural)
        return ru, en, combos_of(verb, noun, adjective)

    def _see(self, verb, who, tense, habit, negative):
        if habit or negative:
            return None
        if self.chance(0.15):
            pet = self.one([p for p in people()["pet"] if p.before["acc"] and not clash(who, p)])
            return (pet.ru("acc", "o"), pet.en("o", who), (("see", pet.english[-1][0]),))
        if self.chance(0.4):
            return self._person(verb, who, tense, habit, negative)
        noun = self.one(nouns_with(verb.tags))
        adjective = self._adjective(noun, 0.5)
        if adjective and adjective.english in UNFIT["see"]:
            adjective = None
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
        found = self._person(verb, who, tense, habit, negative, "ins")
        if found is None:
            return None
        ru, en, combos = found
        with_ = "со" if ru[0][0].startswith(("мной", "сво")) else "с"
        return [(with_, "r"), *ru], en, combos

    def _place(self, verb, who, tense, habit, negative):
        row = self.one(places_with(verb.tags))
        if verb.base == "play" and not fits(who.kind, "child children pet"):
            return None
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
        daily = noun_of(row) in ("school", "university", "work")
        if verb.infinitive == "ходить" and not habit and not daily:
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
        if adjective and adjective.english == "old":
            adjective = None
        ru, en = noun_phrase(noun, "acc", adjective=adjective)
        return (
            whom.ru("dat", "i") + ru,
            whom.en("i", who, use="object") + en,
            combos_of(verb, noun, adjective),
        )

    def _show(self, verb, who, tense, habit, negative):
        noun = self.one(nouns_with("photo letter vehicle gift book"))
        whom = self.other(who, "dat")
        adjective = self._adjective(noun, 0.7)
        ru, en = noun_phrase(noun, "acc", adjective=adjective, article="a" if adjective else "the")
        return (
            whom.ru("dat", "i") + ru,
            whom.en("i", who, use="object") + en,
            combos_of(verb, noun, adjective),
        )

    def wanting(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "маша хочет купить машину", "я должен позвонить маме"."""
        tense = "past" if tense == "past" or (tense is None and self.chance(0.25)) else "present"
        who = who or self.person()
        must = tense == "present" and self.chance(0.35)
        negative = not must and self.chance(0.2)
        verb = self.one(UNWANTED if negative else DUTIES if must else INFINITIVES)
        found = getattr(self, "_" + verb.frame)(verb, who, "future", False, False)
        if found is None or "pet" in who.kind or ("children" in who.kind and must):
            return None
        ru_rest, en_rest, combos = found
        if any(adjective == "boring" for adjective, _ in combos):
            return None
        if must:
            ru_v = [(("должен", "должна", "должны")["mfp".index(who.gender)], "a")]
            en_v = tokens("has to" if who.person == 2 else "have to", "a")
        else:
            ru_v = [("не", "n")] * negative + russian_verb(WANT, who, tense)
            aux, main = english_verb(WANT, who, tense, negative=negative)
            ru_v = [(w, "n" if w == "не" else "a") for w, _ in ru_v]
            en_v = [(w, "n" if w == "not" else "a") for w, _ in aux + main] + [("to", "a")]
        ru = who.ru("nom", "s") + ru_v + [(verb.infinitive, "v")] + ru_rest
        en = who.en("s") + en_v + main_tokens(verb, verb.base) + en_rest
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
        en_o = [
            (word, "or" if k == 0 and len(english) == 1 else "o" if k else "r")
            for k, word in enumerate(english)
        ]
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
        return Clause(
            ru,
            en,
            (("play", english[-1]),),
            tense,
            who,
            "not" if negative else "play",
            None if habit or negative or adverb else cut,
            shape,
        )

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
