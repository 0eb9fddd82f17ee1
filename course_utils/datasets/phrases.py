"""Everyday Russian and English sentences from our own grammar, with gold word alignment.

`load_phrases` draws clauses from `clauses.Patterns` (words: `data/phrases/`, see its README),
joins some of them with "и", "а", "но", "потому что" and "когда", and divides them into parts
that share no sentence. One part shows combinations of known words that no other part contains.
Nothing is downloaded; the same seed gives the same data on every machine, because all chance
comes from `random.Random(seed).random()`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from course_utils.datasets.clauses import Clause, Patterns, noun_is, nouns_with
from course_utils.datasets.lexicon import adjectives_of, gloss_entries, table
from course_utils.datasets.pairs import TranslationData, TranslationPair

ORIGIN = "Sentences drawn from the course's own grammar and lexicon (data/phrases)."
SIZES = {"train": 20_000, "validation": 1_000, "test": 1_000, "compositional": 1_000}
CLAUSES, PER_CLAUSES = 5, 200
HELD_OUT = 0.06  # share of word combinations kept for the compositional part
ENOUGH = 5  # how often every word of a test sentence stands in train, at least
PATTERNS = (
    ("action", 46), ("object_first", 5), ("liking", 9), ("having", 7), ("counting", 4),
    ("sibling", 2), ("needing", 4), ("feeling", 4), ("condition", 3), ("weather", 2),
    ("rain", 0.3), ("aching", 2), ("age", 4), ("job", 2), ("comparing", 2), ("quality", 4),
    ("this_is", 3), ("lying", 5), ("being_at", 4), ("wanting", 6), ("playing", 2),
    ("learning", 1), ("question", 7),
)
JOINED = (("action", 62), ("feeling", 6), ("condition", 3), ("being_at", 8), ("playing", 6),
          ("learning", 3), ("having", 5), ("liking", 4), ("weather", 3))
REASONS = {
    "sleep": ("tired", "ill", "late"), "rest": ("tired", "ill"), "home": ("rain", "cold", "ill"),
    "eat": ("hungry",), "drink": ("cold", "hot"), "go": ("bored", "fun"), "watch": ("bored",),
}


@dataclass(frozen=True)
class Sentence:
    """One or more joined clauses, ready to be written down."""

    pair: TranslationPair
    combos: tuple[tuple[str, str], ...]
    parts: tuple[str, ...]  # the Russian text of each clause, without marks


def _links(russian, english) -> list[tuple[int, int]]:
    places: dict[str, list[int]] = {}
    for k, (_, labels) in enumerate(english):
        for label in labels:
            places.setdefault(label, []).append(k)
    found = []
    for k, (_, labels) in enumerate(russian):
        found += [(k, other) for label in labels for other in places.get(label, ())]
    return sorted(set(found))


def write(clauses: list[Clause], joints: list[tuple[list, list]]) -> Sentence:
    """Write clauses with their joints (Russian and English tokens) as a pair of sentences."""
    russian, english, links, combos = [], [], [], ()
    last = [(clauses[-1].mark, ".")]
    for k, clause in enumerate(clauses):
        before, after = joints[k - 1] if k else ((), ())
        for ru, en in ((before, after), (clause.ru, clause.en)):
            links += [(s + len(russian), t + len(english)) for s, t in _links(ru, en)]
            russian += [word for word, _ in ru]
            english += [word for word, _ in en]
        combos += clause.combos
    links.append((len(russian), len(english)))
    pair = TranslationPair(" ".join([*russian, last[0][0]]), " ".join([*english, last[0][0]]),
                           tuple(links))
    return Sentence(pair, combos, tuple(" ".join(w for w, _ in c.ru) for c in clauses))


COMMA = (",", ",")
JOINTS = {
    "а": ([COMMA, ("а", "&")], [COMMA, ("and", "&")]),
    "и": ([("и", "&")], [("and", "&")]),
    ", и": ([COMMA, ("и", "&")], [COMMA, ("and", "&")]),
    "но": ([COMMA, ("но", "&")], [COMMA, ("but", "&")]),
    "потому что": ([(",", "&"), ("потому", "&"), ("что", "&")], [("because", "&")]),
    "когда": ([(",", "&"), ("когда", "&")], [("when", "&")]),
}


class Grammar(Patterns):
    """Draws whole sentences."""

    def single(self) -> Sentence:
        """A sentence of one clause."""
        while True:
            clause = getattr(self, self.weighted(PATTERNS))()
            if clause is not None:
                return write([clause], [])

    def clause(self, tense: str, used: set[str], kinds=JOINED, **options) -> Clause:
        """A clause in this tense about somebody who was not yet talked about."""
        while True:
            found = getattr(self, self.weighted(kinds))(tense, adverb=False, **options)
            if found is None or found.mark != "." or found.tense != tense:
                continue
            if found.actor is None or options or not self._about(found) & used:
                return found

    @staticmethod
    def _about(clause: Clause) -> set[str]:
        return {" ".join(w for w, _ in clause.actor.english)} if clause.actor else set()

    def joined(self, count: int) -> Sentence:
        """A sentence of `count` clauses in one tense."""
        tense = self.weighted((("present", 48), ("past", 40), ("future", 12)))
        clauses, joints, used = [self.clause(tense, set())], [], set()
        while len(clauses) < count:
            used |= self._about(clauses[-1])
            joint, clause = self._next(clauses[-1], tense, used, {j for j, _ in joints})
            joints.append((joint, clause))
            clauses.append(clause)
        return write(clauses, [JOINTS[joint] for joint, _ in joints])

    def _next(self, last: Clause, tense: str, used, seen) -> tuple[str, Clause]:
        """The next joint and a clause that goes with it."""
        joint = self.weighted((("а", 40), ("и", 22), ("но", 14), ("потому что", 14),
                               ("когда", 10)))
        if joint == "и" and last.cut:
            found = self._same_subject(last, tense)
            if found:
                return "и", found
        if joint == "но" and last.actor and "но" not in seen:
            found = self._but(last, tense)
            if found:
                return "но", found
        if joint == "потому что" and last.actor and not seen & {"потому что", "когда"}:
            found = self._because(last, tense)
            if found:
                return "потому что", found
        if joint == "когда" and tense == "past" and not seen & {"потому что", "когда"}:
            found = self._when(last, used)
            if found:
                return "когда", found
        return "а", self.clause(tense, used)

    def _same_subject(self, last: Clause, tense: str) -> Clause | None:
        """ "... и читает книгу": the subject (and the auxiliary) is not said again."""
        for _ in range(8):
            found = self.action(tense, last.actor, adverb=False, negative=False)
            if found and found.cut and found.shape == last.shape:
                ru, en = found.ru[found.cut[0]:], found.en[found.cut[1]:]
                if {w for w, n in en if n == "v"} & {w for w, n in last.en if n == "v"}:
                    continue
                if tense == "future":  # the second "буду" and its "will" are not said
                    return None
                return Clause(ru, en, found.combos, tense, last.actor, "action", (0, 0),
                              found.shape)
        return None

    def _pronoun(self, who):
        from course_utils.datasets.lexicon import people

        if "pronoun" in who.kind:
            return who
        person = 4 if who.gender == "p" else 2
        return next(p for p in people()["pronoun"]
                    if p.person == person and p.gender == who.gender)

    def _but(self, last: Clause, tense: str) -> Clause | None:
        """ "..., но ей скучно": what one would not expect."""
        if last.kind not in ("action", "playing", "learning") or any(
                word == "не" for word, _ in last.ru):
            return None
        who = self._pronoun(last.actor)
        word = self.one(("скучно", "грустно", "плохо", "холодно", "жарко"))
        return self.feeling(tense, who, adverb=False, word=word)

    def _because(self, last: Clause, tense: str) -> Clause | None:
        """ "..., потому что ей холодно": why."""
        return None

    def _when(self, last: Clause, used) -> Clause | None:
        """ "..., когда позвонил антон": an event in the middle of something."""
        return None


@lru_cache(maxsize=1)
def _combinations() -> tuple[tuple[str, str], ...]:
    """All pairs adjective + noun and verb + object that the grammar can put together."""
    found = [(a.english, n.english) for n in table("nouns") for a in adjectives_of(n.tags)]
    for verb in table("verbs"):
        if verb.frame in ("acc", "give", "fan") or verb.base == "see":
            found += [(verb.base, n.english) for n in nouns_with(verb.tags)]
    return tuple(dict.fromkeys(found))


class _Parts:
    """Fills the parts so that they share no sentence, in either language."""

    def __init__(self, seed: int) -> None:
        self.grammar = Grammar(random.Random(seed).random)
        self.held = {c for c in _combinations() if self.grammar.chance(HELD_OUT)}
        self.seen: set[str] = set()
        self.kept: set[str] = set()  # test clauses: not to stand in joined training sentences

    def _new(self, sentence: Sentence) -> bool:
        pair = sentence.pair
        if pair.source in self.seen or pair.target in self.seen:
            return False
        self.seen.update((pair.source, pair.target))
        return True

    def _is_held(self, sentence: Sentence) -> bool:
        return any(combo in self.held for combo in sentence.combos)

    def singles(self, known: int, unseen: int) -> tuple[list[Sentence], list[Sentence]]:
        """Sentences of one clause: with known combinations only, and with an unseen one."""
        plain, held = [], []
        while len(plain) < known or len(held) < unseen:
            sentence = self.grammar.single()
            part, size = (held, unseen) if self._is_held(sentence) else (plain, known)
            if len(part) < size and self._new(sentence):
                part.append(sentence)
        return plain, held

    def joined(self, count: int, size: int) -> list[Sentence]:
        """Sentences of `count` clauses, none of which is a test sentence."""
        found = []
        while len(found) < size:
            sentence = self.grammar.joined(count)
            if self._is_held(sentence) or any(part in self.kept for part in sentence.parts):
                continue
            if self._new(sentence):
                found.append(sentence)
        return found

    def shuffled(self, items: list) -> list:
        """The items in a random order (Fisher-Yates)."""
        items = list(items)
        for k in range(len(items) - 1, 0, -1):
            other = int(self.grammar.random() * (k + 1))
            items[k], items[other] = items[other], items[k]
        return items


@lru_cache(maxsize=4)
def _draw(seed: int) -> dict:
    parts, train = _Parts(seed), SIZES["train"]
    single = train * 2 // 3
    spare = 300  # candidates that a rare word may rule out
    plain, held = parts.singles(single + 700 + SIZES["test"] + PER_CLAUSES + spare,
                                SIZES["compositional"] + spare)
    rest = plain[single + 700:]
    parts.kept = {s.parts[0] for s in (*rest, *held)}
    two, three = parts.joined(2, train // 5 + 200), parts.joined(3, train - single - train // 5
                                                                 + 100)
    longer = {n: parts.joined(n, PER_CLAUSES + 60) for n in range(2, CLAUSES + 1)}
    in_train = plain[:single] + two[: train // 5] + three[: train - single - train // 5]
    counts: dict[str, int] = {}
    for sentence in in_train:
        for word in f"{sentence.pair.source} {sentence.pair.target}".split():
            counts[word] = counts.get(word, 0) + 1

    def known(sentences, size):
        good = [s.pair for s in sentences if all(
            counts.get(w, 0) >= ENOUGH for w in f"{s.pair.source} {s.pair.target}".split())]
        return good[:size]

    validation = parts.shuffled(plain[single:single + 700] + two[train // 5:]
                                + three[train - single - train // 5:])
    return {
        "train": [s.pair for s in parts.shuffled(in_train)],
        "validation": [s.pair for s in validation],
        "test": known(rest[PER_CLAUSES + spare // 2:], SIZES["test"]),
        "compositional": known(held, SIZES["compositional"]),
        "clauses": {1: known(rest[:PER_CLAUSES + spare // 2], PER_CLAUSES),
                    **{n: known(found, PER_CLAUSES) for n, found in longer.items()}},
    }


def _swap(pair: TranslationPair) -> TranslationPair:
    return TranslationPair(pair.target, pair.source,
                           tuple(sorted((t, s) for s, t in pair.alignment)))


def load_phrases(languages: tuple[str, str] = ("ru", "en"), *, seed: int = 0) -> TranslationData:
    """The embedded translation data.

    Parameters
    ----------
    languages : (str, str)
        ("ru", "en") or ("en", "ru").
    seed : int
        Another seed draws other sentences and holds out other combinations.

    Returns
    -------
    TranslationData
        train (20,000 pairs; two thirds of one clause, one third of two or three; shuffled),
        validation (1,000, the same mixture), test (1,000 of one clause), compositional (1,000
        of one clause with a pair adjective + noun or verb + object that train, validation and
        test never show), clauses (200 each of 1 to 5 clauses). No sentence stands twice, in
        either language; every word of the test parts stands in train at least 5 times.

    Raises
    ------
    ValueError
        If the languages are not Russian and English.
    """
    languages = tuple(languages)
    if languages not in (("ru", "en"), ("en", "ru")):
        raise ValueError(f"the embedded sentences are Russian and English: languages must be "
                         f"('ru', 'en') or ('en', 'ru'), got {languages!r}")
    drawn = _draw(int(seed))
    turn = _swap if languages == ("en", "ru") else (lambda pair: pair)
    lists = {name: [turn(p) for p in drawn[name]] for name in SIZES}
    clauses = {n: [turn(p) for p in found] for n, found in drawn["clauses"].items()}
    return TranslationData(**lists, clauses=clauses, languages=languages, origin=ORIGIN)


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
