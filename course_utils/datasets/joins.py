"""How clauses of the embedded data are joined: by topic, with а, и, но, потому что, когда.

The clauses of one sentence speak of one kind of thing in one tense (what people are doing, what
they did, what they like, have, want ...), each about somebody else; a state of the same person
gives the reason or the contrast, another event the time.
"""

from __future__ import annotations

from typing import no_type_check

from course_utils.datasets.grammar_base import Clause
from course_utils.datasets.grammar_scenes import Scenes
from course_utils.datasets.grammar_words import VERBS
from course_utils.datasets.lexicon import Person, Token, people, russian_verb, table

COMMA = (",", ",")
JOINTS: dict[str, tuple[list[Token], list[Token]]] = {
    "а": ([COMMA, ("а", "&")], [COMMA, ("and", "&")]),
    "и": ([("и", "&")], [("and", "&")]),
    ", и": ([COMMA, ("и", "&")], [COMMA, ("and", "&")]),
    "но": ([COMMA, ("но", "&")], [COMMA, ("but", "&")]),
    "потому что": ([(",", "&"), ("потому", "&"), ("что", "&")], [("because", "&")]),
    "когда": ([(",", "&"), ("когда", "&")], [("when", "&")]),
}
ALL, PAST, NOW = "present past future", "present past", "present"
# What a sentence speaks of: patterns with weights, possible tenses, weight.
TOPICS = (
    (("scene", (("action", 75), ("playing", 10), ("being_at", 15)), ALL), 50),
    (("events", (("action", 100),), "past future"), 22),
    (("tastes", (("action", 60), ("liking", 40)), PAST), 9),
    (("things", (("having", 60), ("counting", 25), ("needing", 15)), PAST), 8),
    (("ages", (("age", 100),), NOW), 3),
    (("jobs", (("job", 100),), NOW), 2),
    (("states", (("feeling", 70), ("condition", 30)), ALL), 5),
    (("wishes", (("wanting", 100),), PAST), 6),
    (("studies", (("learning", 60), ("playing", 40)), NOW), 3),
    (("places", (("being_at", 100),), ALL), 4),
)
LONG = ("scene", "events", "tastes", "things")  # what one can go on about
SCENE = {
    t: [v for v in VERBS[t] if v.aspect == "i" and v.style == "prog" and v.base != "wait for"]
    for t in VERBS
}
EVENTS = {t: [v for v in VERBS[t] if v.aspect == "p"] for t in VERBS}
FANS = {t: [v for v in VERBS[t] if v.frame == "fan"] for t in VERBS}
# Why somebody does this (states with the dative, short adjectives).
REASONS = {
    "sleep": "плохо ill",
    "rest": "плохо ill",
    "home": "плохо ill busy",
    "cry": "грустно страшно плохо",
    "eat": "hungry",
    "cook": "hungry",
    "watch": "скучно",
    "read": "скучно",
    "listen to": "скучно грустно",
    "draw": "скучно",
    "call": "скучно страшно",
    "talk to": "скучно грустно",
    "dance": "весело",
    "go": "скучно",
    "open": "жарко",
    "close": "холодно",
    "not": "busy ill плохо",
    "absent": "ill",
}
# What one would not expect of somebody who does this.
CONTRASTS = {
    "watch": "скучно грустно",
    "read": "скучно холодно",
    "listen to": "скучно грустно",
    "write": "скучно",
    "sit": "холодно скучно",
    "walk": "холодно скучно грустно",
    "play": "грустно скучно",
    "dance": "грустно",
    "work": "плохо",
    "cook": "плохо жарко",
    "rest": "скучно жарко",
    "draw": "грустно скучно",
    "talk to": "скучно грустно",
    "home": "скучно",
}


# What one does at the same time.
TOGETHER = {
    "sit": "read, write, listen to, draw, eat, drink, talk to",
    "rest": "read, listen to, talk to",
    "walk": "listen to, talk to",
    "have lunch": "read, talk to, listen to",
    "cook": "listen to, talk to",
    "eat": "watch, read, listen to, talk to",
    "drink": "watch, read, listen to, talk to",
    "draw": "listen to, eat, drink",
    "write": "listen to, drink",
    "read": "listen to, eat, drink",
    "watch": "eat, drink",
    "listen to": "read, draw, eat, drink, cook, dance",
    "talk to": "eat, drink, cook",
}
PEOPLE = {row.english for row in table("people")} | {"i", "you", "we"}


@no_type_check
class Joins(Scenes):
    """Draws chains of clauses."""

    def chain(self, count: int) -> tuple[list[Clause], list[tuple[list[Token], list[Token]]]]:
        """`count` clauses and the joints between them."""
        topics = TOPICS if count < 4 else tuple(t for t in TOPICS if t[0][0] in LONG)
        topic, kinds, tenses = self.weighted(topics)
        tense = self.weighted(
            [(t, {"present": 50, "past": 40, "future": 12}[t]) for t in tenses.split()]
        )
        used: set[str] = set()
        clauses, joints = [self.fresh(topic, kinds, tense, used)], []
        while len(clauses) < count:
            joint, clause = self.following(topic, kinds, tense, clauses, joints, used)
            joints.append(joint)
            clauses.append(clause)
        return clauses, [JOINTS[joint] for joint in joints]

    def fresh(self, topic, kinds, tense, used: set[str]) -> Clause:
        """A clause on the topic about somebody new."""
        while True:
            kind = self.weighted(kinds)
            options = {}
            if kind == "action":
                verbs = FANS if topic == "tastes" else EVENTS if topic == "events" else SCENE
                negative = topic != "moment" and self.chance(0.08)
                options = {"verbs": verbs[tense], "negative": negative}
            elif kind == "job":
                options = {"positive": True}
            found = getattr(self, kind)(tense, adverb=False, **options)
            if found is None or found.tense != tense or found.actor is None:
                continue
            pronoun = "pronoun" in found.actor.kind
            if pronoun and (
                (found.actor.person in (2, 4) and used)
                or (found.actor.person == 1 and self.chance(0.6))
            ):
                continue
            names = self.named(found)
            if not names & used:
                used |= names
                return found

    @staticmethod
    def named(clause: Clause) -> set[str]:
        """Words for people in a clause: nobody is spoken of twice."""
        names = {word for word, _ in clause.en} & PEOPLE
        return names | {"i", "we"} if names & {"i", "we"} else names

    def following(self, topic, kinds, tense, clauses, joints, used) -> tuple[str, Clause]:
        """The next joint and the clause behind it."""
        found = None
        for _ in range(3):
            joint = self.weighted(
                (("а", 20), ("и", 24), ("но", 16), ("потому что", 20), ("когда", 14))
            )
            found = self.joined_by(joint, topic, tense, clauses, joints, used)
            if found or joint == "а":
                break
        if found:
            return joint, found
        return "а", self.fresh(topic, kinds, tense, used)

    def joined_by(self, joint, topic, tense, clauses, joints, used) -> Clause | None:
        """A clause that goes with this joint, if there is one."""
        last, before, found = clauses[-1], joints[-1] if joints else "", None
        if joint in ("потому что", "когда") and {"потому что", "когда"} & set(joints):
            return None
        if before in ("потому что", "когда", "но"):
            return None
        if joint == "и" and before != "и":
            found = self.same_subject(last, topic, tense)
        elif joint == "но":
            found = self.contrast(last, tense) if topic != "events" else None
        elif joint == "потому что":
            found = self.reason(last, tense)
        elif joint == "когда" and tense == "past" and topic in ("scene", "events"):
            found = self.moment(last, topic, used)
        return found

    def same_subject(self, last: Clause, topic: str, tense: str) -> Clause | None:
        """ "... и читает книгу": the subject and the auxiliary are not said again."""
        if not last.cut or tense == "future":
            return None
        verbs = (
            [v for v in EVENTS[tense] if v.base != last.kind]
            if topic == "events"
            else [v for v in SCENE[tense] if v.base in TOGETHER.get(last.kind, "").split(", ")]
        )
        if not verbs or (last.kind == "sit" and any(w == "библиотеке" for w, _ in last.ru)):
            return None
        for _ in range(8):
            found = self.action(tense, last.actor, adverb=False, negative=False, verbs=verbs)
            if found is None or not found.cut or found.shape != last.shape:
                continue
            if not {word for word, _ in found.en[found.cut[1] :]} & self.named(last):
                return Clause(
                    found.ru[found.cut[0] :],
                    found.en[found.cut[1] :],
                    found.combos,
                    tense,
                    last.actor,
                    found.kind,
                    None,
                    found.shape,
                )
        return None

    def state(self, who: Person, tense: str, word: str) -> Clause | None:
        """A state of somebody, as a pronoun."""
        if "pronoun" not in who.kind:
            person = 4 if who.gender == "p" else 2
            who = next(
                p for p in people()["pronoun"] if p.person == person and p.gender == who.gender
            )
        if word[0] in "abcdefghijklmnopqrstuvwxyz":
            return self.condition(tense, who, adverb=False, word=word)
        return self.feeling(tense, who, adverb=False, word=word)

    def reason(self, last: Clause, tense: str) -> Clause | None:
        """ "..., потому что ей холодно": why."""
        words = REASONS.get(last.kind)
        boring = any(word.startswith("скучн") for word, _ in last.ru)
        if not words or tense == "future" or last.actor is None or boring:
            return None
        outside = any(word in ("парке", "лесу", "саду") for word, _ in last.ru)
        if (last.kind == "home" or (last.kind == "not" and outside)) and self.chance(0.25):
            return self.weather(tense, adverb=False, words=("холодно", "темно"))
        return self.state(last.actor, tense, self.one(words.split()))

    def contrast(self, last: Clause, tense: str) -> Clause | None:
        """ "..., но ей скучно": what one would not expect."""
        if last.kind == "like" and last.actor and any(v == "v" for _, v in last.ru):
            return self._but_not(last, tense)
        if last.kind == "having" and tense == "present" and "есть" in (w for w, _ in last.ru):
            who = last.actor
            if "pronoun" in who.kind:
                for _ in range(8):
                    found = self.having(tense, who, adverb=False)
                    if (
                        found
                        and any("n" in label for _, label in found.ru)
                        and (found.combos[0] != last.combos[0])
                    ):
                        return found
            return None
        if any(w.startswith("скучн") for w, _ in last.ru):
            return None
        words = CONTRASTS.get(last.kind)
        return self.state(last.actor, tense, self.one(words.split())) if words else None

    def _but_not(self, last: Clause, tense: str) -> Clause | None:
        """ "мама любит чай , но не любит кофе"."""
        for _ in range(4):
            found = self.action(tense, last.actor, adverb=False, negative=True, verbs=FANS[tense])
            if found and not set(found.combos) & set(last.combos):
                ru, en = len(last.actor.ru("nom", "s")), len(last.actor.en("s"))
                return Clause(found.ru[ru:], found.en[en:], found.combos, tense, last.actor, "not")
        return None

    def moment(self, last: Clause, topic: str, used: set[str]) -> Clause | None:
        """ "..., когда позвонил антон", "..., когда папа готовил ужин"."""
        if last.kind in ("not", "absent"):
            return None
        if topic == "scene" and self.chance(0.5):
            verb = next(v for v in table("verbs") if v.infinitive == "позвонить")
            who = self.person("name 50 family 25 kin 25")
            names = {word for word, _ in who.english} & PEOPLE
            if names & used:
                return None
            used |= names
            return Clause(
                [*russian_verb(verb, who, "past"), *who.ru("nom", "s")],
                [*who.en("s"), ("called", "v")],
                (),
                "past",
                who,
                "called",
            )
        return self.fresh("moment", (("action", 100),), "past", used)
