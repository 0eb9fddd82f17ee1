"""Everyday Russian and English sentences from our own grammar, with gold word alignment.

`load_phrases` draws clauses from the grammar (words: `data/phrases/`, see its README),
joins some of them with "и", "а", "но", "потому что" and "когда", and divides them into parts
that share no sentence. One part shows combinations of known words that no other part contains.
Nothing is downloaded; the same seed gives the same data on every machine, because all chance
comes from `random.Random(seed).random()`.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import no_type_check

from course_utils.datasets.glosses import gloss
from course_utils.datasets.grammar_base import Clause
from course_utils.datasets.joins import Joins
from course_utils.datasets.lexicon import Token, adjectives_of, nouns_with, table
from course_utils.datasets.pairs import TranslationData, TranslationPair

__all__ = ["gloss", "load_phrases"]

ORIGIN = "Sentences drawn from the course's own grammar and lexicon (data/phrases)."
SIZES = {"train": 20_000, "validation": 1_000, "test": 1_000, "compositional": 1_000}
# `no_type_check` below and in the grammar: words, not tensors, in a million small calls that
# checks at run time (in the tests) would make ten times slower.
MIXTURE = {"train": (13_400, 4_000, 2_600), "validation": (670, 200, 130)}  # 1, 2, 3 clauses
CLAUSES, PER_CLAUSES = 5, 200
HELD_OUT = 0.2  # share of word combinations kept for the compositional part
PARTNERS = 4  # in how many other combinations each word of a held-out one stands, at least
ENOUGH = 5  # how often every word of a test sentence stands in train, at least
FREQUENT = 12  # sentences with words that are rarer than this are left out
SPARE = 1.2  # sentences drawn for each that is kept
PATTERNS = (
    ("action", 46),
    ("object_first", 5),
    ("liking", 9),
    ("having", 9),
    ("counting", 4),
    ("sibling", 2),
    ("needing", 4),
    ("feeling", 4),
    ("condition", 3),
    ("weather", 2),
    ("aching", 2),
    ("age", 4),
    ("job", 2),
    ("comparing", 2),
    ("quality", 4),
    ("this_is", 6),
    ("lying", 5),
    ("being_at", 4),
    ("wanting", 6),
    ("playing", 2),
    ("learning", 1),
    ("question", 7),
)


@no_type_check
@dataclass(frozen=True)
class Sentence:
    """One or more joined clauses (`joints`: Russian and English tokens between them)."""

    clauses: list[Clause]
    joints: list[tuple[list[Token], list[Token]]]

    def blocks(self):
        """Russian and English tokens, block by block: clause, joint, clause ..."""
        for k, clause in enumerate(self.clauses):
            if k:
                yield self.joints[k - 1]
            yield clause.ru, clause.en

    @cached_property
    def text(self) -> tuple[str, str]:
        """The two sentences."""
        russian, english = [], []
        for ru, en in self.blocks():
            russian += [word for word, _ in ru]
            english += [word for word, _ in en]
        mark = self.clauses[-1].mark
        return " ".join(russian) + " " + mark, " ".join(english) + " " + mark

    def words(self) -> list[str]:
        """The words of both sides."""
        return self.text[0].split() + self.text[1].split()

    def parts(self) -> list[str]:
        """The Russian text of each clause."""
        return [" ".join(word for word, _ in clause.ru) for clause in self.clauses]

    def combos(self) -> list[tuple[str, str]]:
        """All combinations of content words."""
        return [combo for clause in self.clauses for combo in clause.combos]

    def pair(self) -> TranslationPair:
        """The sentences with their alignment: words that share a label, block by block."""
        links, russian, english = [], 0, 0
        for ru, en in self.blocks():
            places: dict[str, list[int]] = {}
            for t, (_, labels) in enumerate(en, english):
                for label in labels:
                    places.setdefault(label, []).append(t)
            for s, (_, labels) in enumerate(ru, russian):
                found = [t for label in labels for t in places.get(label, ())]
                links += [(s, t) for t in (sorted(set(found)) if len(labels) > 1 else found)]
            russian, english = russian + len(ru), english + len(en)
        return TranslationPair(*self.text, (*links, (russian, english)))


@no_type_check
class Grammar(Joins):
    """Draws whole sentences."""

    def single(self) -> Sentence:
        """A sentence of one clause."""
        while True:
            clause = getattr(self, self.weighted(PATTERNS))()
            if clause is not None:
                return Sentence([clause], [])

    def joined(self, count: int) -> Sentence:
        """A sentence of `count` clauses."""
        return Sentence(*self.chain(count))


@lru_cache(maxsize=1)
def _combinations() -> tuple[tuple[tuple[str, str], ...], ...]:
    """All pairs adjective + noun, and all pairs verb + object, that the grammar can make."""
    adjectives = [(a.english, n.english) for n in table("nouns") for a in adjectives_of(n.tags)]
    verbs = [
        verb
        for verb in table("verbs")
        if verb.frame in ("acc", "give", "fan") or verb.base == "see"
    ]
    objects = [(verb.base, n.english) for verb in verbs for n in nouns_with(verb.tags)]
    return tuple(dict.fromkeys(adjectives)), tuple(dict.fromkeys(objects))


@no_type_check
def _held_out(pairs: tuple[tuple[str, str], ...], chance: Callable[[float], bool]) -> set:
    """Combinations to hold out; each of their words keeps at least PARTNERS others.

    A verb that training shows with one object only could not be told from that object.
    """
    held = {pair for pair in pairs if chance(HELD_OUT)}
    shown = [Counter(pair[side] for pair in pairs if pair not in held) for side in (0, 1)]
    return {pair for pair in held if all(shown[k][pair[k]] >= PARTNERS for k in (0, 1))}


@no_type_check
class _Parts:
    """Fills the parts so that they share no sentence, in either language."""

    def __init__(self, seed: int) -> None:
        self.grammar = Grammar(random.Random(seed).random)
        self.held = set().union(*(_held_out(c, self.grammar.chance) for c in _combinations()))
        self.seen: set[str] = set()
        self.kept: set[str] = set()  # test clauses: not to stand in joined training sentences

    def _new(self, sentence: Sentence) -> bool:
        source, target = sentence.text
        if source in self.seen or target in self.seen:
            return False
        self.seen.update((source, target))
        return True

    def _is_held(self, sentence: Sentence) -> bool:
        return any(combo in self.held for combo in sentence.combos())

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
            if self._is_held(sentence) or any(part in self.kept for part in sentence.parts()):
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


@no_type_check
def _common(pools: list[list[Sentence]]) -> list[list[Sentence]]:
    """Leave out sentences with a word that is rare in all pools together."""
    words = [[s.words() for s in pool] for pool in pools]
    counts = Counter(word for pool in words for sentence in pool for word in sentence)
    return [
        [
            s
            for s, sentence in zip(pool, found, strict=False)
            if all(counts[word] >= FREQUENT for word in sentence)
        ]
        for pool, found in zip(pools, words, strict=False)
    ]


@no_type_check
def _split(pool: list, *sizes: int) -> list[list]:
    """Consecutive slices of these sizes."""
    ends = [0, *accumulate(sizes)]
    if ends[-1] > len(pool):
        raise RuntimeError(
            f"the grammar drew {len(pool)} sentences, {ends[-1]} are needed: raise SPARE"
        )
    return [pool[a:b] for a, b in pairwise(ends)]


@lru_cache(maxsize=4)
def _draw(seed: int) -> dict:
    """All parts, Russian to English (without garbage collection: nothing here is in cycles)."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _fill(seed)
    finally:
        if collecting:
            gc.enable()


@no_type_check
def _fill(seed: int) -> dict:
    parts, sizes = _Parts(seed), SIZES
    shares, checks = MIXTURE["train"], MIXTURE["validation"]
    tests = [sizes["test"], PER_CLAUSES, *shares[:1], checks[0]]
    plain, held = parts.singles(int(sum(tests) * SPARE), int(sizes["compositional"] * SPARE * 1.4))
    reserve = int((tests[0] + tests[1]) * SPARE)  # its clauses stand in no training sentence
    parts.kept = {s.parts()[0] for s in (*plain[:reserve], *held)}
    pools = [parts.joined(n, int((shares[n - 1] + checks[n - 1]) * SPARE)) for n in (2, 3)]
    longer = [parts.joined(n, int(PER_CLAUSES * SPARE * 1.2)) for n in range(2, CLAUSES + 1)]
    unseen, *training = _common([plain[:reserve], plain[reserve:], *pools])
    sizes_of = zip(shares, checks, strict=True)
    training = [_split(pool, *both) for pool, both in zip(training, sizes_of, strict=True)]
    train = parts.shuffled([s for pool, _ in training for s in pool])
    counts = Counter(word for s in train for word in s.words())
    unseen, held, *longer = (
        [s for s in pool if all(counts[w] >= ENOUGH for w in s.words())]
        for pool in (unseen, held, *longer)
    )
    test, one = _split(unseen, *tests[:2])
    found = {
        "train": train,
        "test": test,
        "compositional": _split(held, sizes["compositional"])[0],
        "validation": parts.shuffled([s for _, pool in training for s in pool]),
    }
    clauses = [one, *(_split(pool, PER_CLAUSES)[0] for pool in longer)]
    return {
        **{name: [s.pair() for s in pool] for name, pool in found.items()},
        "clauses": {k: [s.pair() for s in pool] for k, pool in enumerate(clauses, 1)},
    }


@no_type_check
def _swap(pair: TranslationPair) -> TranslationPair:
    return TranslationPair(
        pair.target, pair.source, tuple(sorted((t, s) for s, t in pair.alignment))
    )


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
        raise ValueError(
            f"the embedded sentences are Russian and English: languages must be "
            f"('ru', 'en') or ('en', 'ru'), got {languages!r}"
        )
    drawn = _draw(int(seed))
    turn = _swap if languages == ("en", "ru") else (lambda pair: pair)
    lists = {name: [turn(p) for p in drawn[name]] for name in SIZES}
    clauses = {n: [turn(p) for p in found] for n, found in drawn["clauses"].items()}
    return TranslationData(**lists, clauses=clauses, languages=languages, origin=ORIGIN)
