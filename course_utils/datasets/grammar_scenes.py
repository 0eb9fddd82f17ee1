"""Sentence patterns of the embedded data: who is what, what is where, questions."""

from __future__ import annotations

from typing import no_type_check

from course_utils.datasets.grammar_base import (
    FORM,
    Clause,
    bad_owner,
    be,
    clash,
    combos_of,
    fits_case,
    noun_is,
    odd,
    place_en,
    place_ru,
    places_with,
    spots_with,
    was,
)
from course_utils.datasets.grammar_states import States
from course_utils.datasets.grammar_words import (
    DETERMINERS,
    FAVORITE,
    HAVE,
    LIE,
    OBJECT_FIRST,
    PLAIN,
    STAND,
    TENSES,
    VERBS,
)
from course_utils.datasets.lexicon import (
    BE,
    DOES,
    WILL,
    Person,
    english_verb,
    fits,
    noun_phrase,
    nouns_with,
    russian_verb,
    tokens,
    with_article,
)


@no_type_check
class Scenes(States):
    """Clauses about what and where things and people are, and questions."""

    def job(self, tense=None, who=None, *, adverb=True, positive=False) -> Clause | None:
        """ "мой брат врач", "иван не врач"."""
        who = self.person("pronoun 25 name 35 kin 40")
        row, negative = self.word("job"), self.chance(0.25) and not positive
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
        ru = [*who.ru("nom", "s"), (row.russian, "c"), *than.ru("gen", "o")]
        en = [
            *who.en("s"),
            *be("present", who.person, "c"),
            (row.english, "c"),
            ("than", "c"),
            *than.en("o", use="object"),
        ]
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
        en = [
            *en,
            *be("present", 4 if plural else 2, "c"),
            *[("not", "n")] * negative,
            (adjective.english, "c"),
        ]
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

    def lying(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "на столе лежит книга" (there is) or "книга лежит на столе" (the book is)."""
        tense = "past" if tense == "past" or (tense is None and self.chance(0.3)) else "present"
        stand = self.chance(0.3)
        spot = self.one(spots_with("top" if stand else "top inside soft"))
        plural = self.chance(0.25)
        noun = self.one(nouns_with("stand" if stand else "lie", plural))
        if (spot.english == "in the bag" and not noun_is(noun, "small read book ticket fruit")) or (
            noun.english == "guitar" and spot.noun not in ("полу",)
        ):
            return None
        if noun_is(noun, "fruit tasty") and spot.noun in (
            "полу",
            "стуле",
            "диване",
            "кровати",
            "шкафу",
        ):
            return None
        adjective = self._adjective(noun, 0.35)
        existential = self.chance(0.6)
        ru, en = noun_phrase(
            noun, "nom", adjective=adjective, article="a" if existential else "the", plural=plural
        )
        form = FORM["p" if plural else noun.gender]
        verb = [(STAND if stand else LIE)[tense][form], "v"]
        place, where = [(spot.preposition, "r"), (spot.noun, "l")], place_en(spot.english)
        is_ = (BE[tense][4 if plural else 2], "v")
        combos = ((adjective.english, noun.english),) if adjective else ()
        if existential:
            return Clause(
                [*place, tuple(verb), *ru],
                [("there", "v"), is_, *en, *where],
                combos,
                tense,
                None,
                "lying",
            )
        return Clause([*ru, tuple(verb), *place], [*en, is_, *where], combos, tense, None, "lying")

    def being_at(self, tense=None, who=None, *, adverb=True, home=None) -> Clause | None:
        """ "маша дома", "мамы нет дома", "вчера иван был в школе"."""
        tense = tense or self.weighted(TENSES)
        who = who or self.person()
        absent = self.chance(0.3) and tense != "future" and not home
        home = self.chance(0.3) if home is None else home
        row = self.one(places_with("study job fun quiet far room"))
        ru_p = [("дома", "l")] if home else place_ru(row)
        en_p = tokens("at home", "l") if home else place_en(row.english_where)
        if (
            ("pet" in who.kind and not home)
            or ("child" in who.kind and "job" in row.tags)
            or (fits(who.kind, "grand parent parents elder") and "study" in row.tags)
        ):
            return None
        if absent:
            if who.forms["gen"] == "-" or not fits_case(who, False):
                return None
            no = [("нет", "nv")] if tense == "present" else [("не", "n"), ("было", "v")]
            ru, en = who.ru("gen", "s") + no + ru_p, be(tense, who.person, "v")
            en = who.en("s") + en + [("not", "n")] + en_p
        else:
            form = (
                [(WILL[who.person], "v")]
                if tense == "future"
                else (was(tense, FORM[who.gender], "v"))
            )
            label = "v" if form else "l"
            ru, en = who.ru("nom", "s") + form + ru_p, who.en("s")
            en = en + be(tense, who.person, label) + en_p
        ru, en = self._day(ru, en, tense, adverb)
        kind = "absent" if absent else "home" if home else "being_at"
        return Clause(ru, en, (), tense, who, kind)

    def question(self, tense=None, who=None, *, adverb=True) -> Clause | None:
        """ "где моя сумка ?", "ты любишь чай ?", "сколько лет твоему брату ?"."""
        return getattr(
            self,
            "_ask_"
            + self.weighted((("where", 25), ("whose", 15), ("age", 15), ("have", 20), ("yes", 60))),
        )()

    def _ask_where(self):
        plural = self.chance(0.3)
        noun = self.one(nouns_with("small lose", plural))
        owner = self._owner()
        if bad_owner(owner, noun, plural):
            return None
        adjective = self._adjective(noun, 0.25)
        ru, en = noun_phrase(noun, "nom", adjective=adjective, owner=owner, plural=plural)
        combos = ((adjective.english, noun.english),) if adjective else ()
        return Clause(
            [("где", "q"), *ru],
            [("where", "q"), ("are" if plural else "is", "q"), *en],
            combos,
            mark="?",
            kind="question",
        )

    def _ask_whose(self):
        noun = self.one([n for n in nouns_with("small have") if n.gender in "mf"])
        word = {"m": "чей", "f": "чья"}[noun.gender]
        return Clause(
            [(word, "q"), ("это", "x"), (noun.nom, "o")],
            [("whose", "q"), (noun.english, "o"), ("is", "x"), ("this", "x")],
            mark="?",
            kind="question",
        )

    def _ask_age(self):
        who = self.person("pronoun 20 name 20 family 20 kin 40", plural=False)
        if who.person in (0, 3, 4):
            return None
        ru = [("сколько", "q"), ("лет", "y"), *who.ru("dat", "s")]
        if "pronoun" in who.kind:
            ru = [ru[0], ru[2], ru[1]]
        en = [("how", "q"), ("old", "y"), (BE["present"][who.person], "y"), *who.en("s")]
        return Clause(ru, en, mark="?", kind="question")

    def _ask_have(self):
        who = self.person("pronoun 60 name 25 kin 15", plural=False)
        if who.forms["u"] == "-" or who.person in (0, 3):
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
        if who.person in (0, 3) or verb.frame in ("intr", "give", "show"):
            return None
        found = getattr(self, "_" + verb.frame)(verb, who, tense, False, False)
        if found is None:
            return None
        ru_rest, en_rest, combos = found
        aux, main = english_verb(verb, who, tense, question=True)
        ru = who.ru("nom", "s") + russian_verb(verb, who, tense) + ru_rest
        return Clause(
            ru, aux + who.en("s") + main + en_rest, combos, tense, who, "question", mark="?"
        )

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
        return Clause(
            ru + russian_verb(verb, who, "past") + who.ru("nom", "s"),
            who.en("s") + main + en,
            combos_of(verb, noun, adjective),
            "past",
            who,
            "object_first",
        )
