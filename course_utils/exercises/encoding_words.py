"""Check of the exercise on cutting a word into pieces with learned merges.

Two ways are right: to look for the pair with the lowest rank again and again, and to go once
through the merges in their order. They differ only where two merges make the same token; the
cases here have no such merges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.exercises.checking import Exercise, Mistake
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.learning_merges import first_only
from course_utils.exercises.values import ValueComparison, shown, symbols
from course_utils.exercises.variants import variants

Pair = tuple[str, str]


def _cases() -> list[Inputs]:
    at = ("a", "t")
    learned = [at, ("m", "at"), ("at", "e"), ("c", "at"), ("mat", "e"), ("e", "at"), ("mat", "s")]
    return [
        ("at", [at]),
        ("a", [at]),
        ("cat", [at]),
        ("ate", [at]),
        ("abc", [("a", "b"), ("b", "c")]),
        ("abc", [("b", "c"), ("a", "b")]),
        ("zab", [("a", "b"), ("z", "a")]),
        ("abc", [("a", "b"), ("b", "c"), ("a", "bc")]),
        ("atat", [at]),
        ("aaa", [("a", "a")]),
        ("abcd", [("b", "c"), ("a", "b"), ("c", "d")]),
        ("abcd", [("a", "b"), ("c", "d"), ("ab", "cd")]),
        ("abcde", [("d", "e"), ("c", "de"), ("a", "b"), ("ab", "c")]),
        ("abcde", [("d", "e"), ("b", "c"), ("a", "bc"), ("c", "de")]),
        ("?at!", [at]),
        ("mates", learned),
        ("teammates", learned),
        ("formats", learned),
        ("catamite", learned),
        ("at", []),
        ("", [at]),
    ]


# ---- known mistakes


def _rounds(
    word: str,
    merges: Sequence[Pair],
    *,
    choose: Callable[[list[Pair], dict[Pair, int]], Pair] = lambda found, rank: min(
        found, key=rank.__getitem__
    ),
    merge: Callable[[tuple[str, ...], Pair], tuple[str, ...]] = solutions.merge,
    most: int | None = None,
    skip: slice = slice(None),
    unknown: Callable[[str], list[str]] = lambda letter: [letter],
    whole: bool = False,
    after: Callable[[tuple[str, ...]], Sequence[str]] = list,
) -> list[str]:
    """Right, but for the parts that are given: merges the pair that `choose` takes, repeatedly."""
    rank = {pair: i for i, pair in enumerate(merges[skip])}
    if whole and word in map("".join, rank):
        return [word]
    letters = {letter for pair in merges for letter in "".join(pair)}
    pieces = tuple(x for c in word for x in ([c] if c in letters or not merges else unknown(c)))
    turns = 0
    while (found := [p for p in pairwise(pieces) if p in rank]) and turns != most:
        pieces, turns = merge(pieces, choose(found, rank)), turns + 1
    return list(after(pieces))


def _longest_first(word: str, merges: Sequence[Pair], *, backwards: bool = False) -> list[str]:
    """The longest piece in the vocabulary, from the left; with `backwards` from the right."""
    vocabulary, pieces = {*map("".join, merges)}, []
    while word:
        cuts = range(len(word)) if backwards else range(len(word), 0, -1)
        parts = (
            (word[cut:], word[:cut]) if backwards else (word[:cut], word[cut:]) for cut in cuts
        )
        piece, word = next(p for p in parts if p[0] in vocabulary or len(p[0]) == 1)
        pieces.append(piece)
    return pieces[::-1] if backwards else pieces


def _grown(word: str, merges: Sequence[Pair]) -> list[str]:
    """Each piece grows by one letter as long as a merge allows it."""
    pieces: list[str] = []
    for letter in word:
        if pieces and (pieces[-1], letter) in merges:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _one_pass(word: str, merges: Sequence[Pair]) -> list[str]:
    """Once from left to right, every pair of letters that is a merge."""
    pieces, i = [], 0
    while i < len(word):
        step = 2 if tuple(word[i : i + 2]) in merges else 1
        pieces.append(word[i : i + step])
        i += step
    return pieces


def _each_once(word: str, merges: Sequence[Pair]) -> list[str]:
    """Through the list of merges, each one done at the first place that fits."""
    pieces = tuple(word)
    for two in merges:
        pieces = first_only(pieces, two)
    return list(pieces)


def _through(
    word: str, merges: Sequence[Pair], *, order: Callable[[Sequence[Pair]], Sequence[Pair]]
) -> list[str]:
    """Once through the list of merges, in another order."""
    pieces = tuple(word)
    for two in order(merges):
        pieces = solutions.merge(pieces, two)
    return list(pieces)


def _fewest(word: str, merges: Sequence[Pair]) -> list[str]:
    """The shortest list of pieces that are all in the vocabulary."""
    vocabulary = {*map("".join, merges), *word}
    for cuts in range(len(word)):
        for places in combinations(range(1, len(word)), cuts):
            pieces = [word[a:b] for a, b in pairwise((0, *places, len(word)))]
            if vocabulary.issuperset(pieces):
                return pieces
    return []


def _leftmost(found: list[Pair], rank: dict[Pair, int]) -> Pair:
    return found[0]


def _marked(pieces: tuple[str, ...]) -> list[str]:
    return [("##" if i else "") + piece for i, piece in enumerate(pieces)]


_LONGEST = (
    "you take the longest piece that is in the vocabulary, as WordPiece does: BPE never looks for "
    "pieces, it repeats its merges. Which pair of neighbours was learned first?"
)
_FROM_LEFT = (
    "you merge from left to right, whatever was learned first: a pair further right may go first, "
    "and take a symbol away. Where do you use the rank of a merge?"
)
_LAST = "the merge that was learned last goes first: is a low rank early or late?"
_SORTED = (
    "the merges go in the order of the alphabet, not as they were learned: do you sort them, or "
    "put them in a set?"
)
_ONCE = (
    "you stop too early: after a merge there are new neighbours, and they may be a merge, too. "
    "What must your loop look at again?"
)
_UNKNOWN = (
    "a character that is in no merge must stay as it is: "
    "what does your function do with a character, or a pair, that is in no merge?"
)

_MISTAKES = (
    Mistake(_LONGEST, _longest_first),
    *variants(_longest_first, (_LONGEST, {"backwards": True})),
    Mistake(_FROM_LEFT, _grown),
    *variants(
        _rounds,
        (_FROM_LEFT, {"choose": _leftmost}, {"choose": _leftmost, "merge": first_only}),
        (
            "you merge from right to left, whatever was learned first. "
            "Where do you use the rank of a merge?",
            {"choose": lambda found, rank: found[-1]},
        ),
        (_LAST, {"choose": lambda found, rank: max(found, key=rank.__getitem__)}),
        (_SORTED, {"choose": lambda found, rank: min(found)}),
        (_ONCE, {"most": 1}),
        (
            "the first merge of the list is never used: where does your loop begin?",
            {"skip": slice(1, None)},
        ),
        (
            "the last merge of the list is never used: where does your loop end?",
            {"skip": slice(None, -1)},
        ),
        (_UNKNOWN, {"unknown": lambda letter: []}, {"unknown": lambda letter: ["[UNK]"]}),
        (_UNKNOWN, {"unknown": lambda letter: ["<unk>"]}),
        (
            "a word that is a token stays whole here, but do its merges lead there? "
            "Which of them goes first?",
            {"whole": True},
        ),
        (
            "your pieces have ## in front, as in WordPiece: put together they should spell the "
            "word. Which line adds it?",
            {"after": _marked},
        ),
        (
            "a piece that comes twice is there once only: do you put pieces in a set or a dict?",
            {"after": lambda pieces: dict.fromkeys(pieces)},
        ),
        (
            "the pieces come in another order than in the word: do you sort them?",
            {"after": sorted},
            {"after": lambda pieces: pieces[::-1]},
        ),
        (
            "the last piece is missing: how far does your loop run?",
            {"after": lambda pieces: pieces[:-1]},
        ),
    ),
    *variants(
        _through,
        (_LAST, {"order": lambda merges: merges[::-1]}),
        (_SORTED, {"order": sorted}),
    ),
    Mistake(_ONCE, _one_pass),
    Mistake(
        "each merge is done at one place of the word only: a t a t holds (a, t) twice. "
        "When may you go on to the next merge?",
        _each_once,
    ),
    Mistake(
        "you look for the fewest pieces: BPE repeats its merges in the order in which they were "
        "learned, even where this ends with more. Which pair was learned first?",
        _fewest,
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    (word, merges), got = inputs, outputs[0]
    if "".join(got) != word:
        return f"put together, your pieces spell {shown(''.join(got))}. What gets lost or comes in?"
    tokens = {*map("".join, merges), *word}
    if odd := [piece for piece in got if piece not in tokens]:
        return f"no merge makes {shown(odd[0])}. Where does it come from?"
    if together := [two for two in pairwise(got) if two in merges]:
        return (
            f"{shown(together[0])} stand side by side still, and are a merge. When should your "
            "loop end?"
        )
    found = [two for two in merges if two in [*pairwise(word)]]
    return (
        f"of the pairs of letters in this word {shown(found[0])} was learned first. "
        "Does yours begin with it, and what does it look at next?"
    )


ENCODE = Exercise(
    name="03.4",
    title="Encode a word",
    judge=ValueComparison(
        parameters=("word", "merges"),
        outputs={"pieces": "list"},
        solution=solutions.encode,
        cases=_cases,
        value=symbols,
        diagnose=_diagnose,
    ),
    mistakes=_MISTAKES,
)
