"""Check of the exercise on beam search.

Books differ on whether a finished sequence keeps its place in the beam. The tables here are
chosen so that both ways find the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from operator import add
from typing import Any

import torch

from course_utils.exercises import seq2seq_attention_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint, Mistake
from course_utils.exercises.comparing import Comparison, Inputs, Outputs
from course_utils.exercises.table import Table

# Greedy takes 1 first (0.5 * 0.4 = 0.20); the best is 2 (0.4 * 0.9 = 0.36). As in the lesson.
_TRAP = {(): (0.1, 0.5, 0.4), (1,): (0.4, 0.3, 0.3), (2,): (0.9, 0.05, 0.05)}

# Nothing at all is the best (0.3), but it never leads the beam: 1 (0.4) does, and is cut at
# max_length with 0.4 * 0.45 ** 3 = 0.036. Whoever waits for a leader that ends must keep the rest.
_NEVER_FIRST = {(): (0.3, 0.4, 0.2, 0.1)} | {
    prefix: (0.2, 0.45, 0.23, 0.12)
    for length in (1, 2, 3)
    for prefix in product((1, 2, 3), repeat=length)
}

# Size, eos, seed, num_beams, max_length: found by trying seeds until every known mistake shows and
# no two of them look alike.
_DRAWN = ((5, 4, 256, 3, 5), (5, 2, 16, 3, 4), (5, 2, 86, 3, 4), (4, 3, 1, 2, 4))


def _cases() -> list[Inputs]:
    drawn = [(Table(v, eos, seed=seed), k, length, eos) for v, eos, seed, k, length in _DRAWN]
    return [(Table(3, 0, _TRAP), 2, 2, 0), *drawn, (Table(4, 0, _NEVER_FIRST), 2, 4, 0)]


def _read(result: Any, inputs: Inputs) -> Outputs:
    _, _, max_length, eos = inputs
    if not isinstance(result, tuple | list) or len(result) != 2:
        got = "nothing" if result is None else f"one {type(result).__name__}"
        raise Hint(f"{got} came back: does your function end with `return ids, score`?")
    ids, score = result
    if isinstance(ids, int | float) and isinstance(score, tuple | list):
        raise Hint("score and ids have changed places: return ids, score")
    try:
        ids, score = [int(token) for token in ids], float(score)
    except (TypeError, ValueError):
        raise Hint(
            f"ids is {ids!r} and score is {score!r}: expected a list of tokens and one number"
        ) from None
    if eos in ids:
        raise Hint(f"your ids {ids} still hold eos ({eos}): where do you take it off?")
    if len(ids) > max_length:
        raise Hint(f"your ids {ids} are longer than max_length = {max_length}: what stops them?")
    # As tensors both can be compared like any other output.
    as_tensor = partial(torch.tensor, dtype=torch.float64, device="cpu")
    return as_tensor(ids), as_tensor(score)


def _audit(inputs: Inputs) -> str | None:
    table, num_beams, _, _ = inputs
    for length, prefixes in table.asked.items():
        if len(prefixes) > num_beams:
            return (
                f"you go on with {len(prefixes)} beginnings of length {length}, the beam holds "
                f"{num_beams}: do you keep the best of each beginning's followers, or the best of "
                "all together?"
            )
    return None


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    table, _, max_length, eos = inputs
    ids, score = [int(token) for token in outputs[0]], float(outputs[1])
    best, right = [int(token) for token in expected[0]], float(expected[1])
    own = table.score(ids, max_length)
    if score > 0:
        return f"your score is {score:.4g}: can a sum of log-probabilities be above 0?"
    if abs(score - own) > 1e-4:
        return (
            f"your score of {ids} is {score:.4g}, the log-probabilities of its tokens sum to "
            f"{own:.4g}: is each of them in your sum once, that of eos too?"
        )
    if any(eos in prefix for prefixes in table.asked.values() for prefix in prefixes):
        return "you go on after eos: where do you set a finished sequence aside?"
    if own > right:
        return f"you found {ids}, which a beam of this size misses: do you keep more than you may?"
    return (
        f"you found {ids} with {own:.4g}, but {best} has {right:.4g}: at which step does it leave "
        "your beam, or your list of finished sequences?"
    )


# ---- known mistakes: one search with parts to exchange


def _score(candidate):
    return candidate[0]


def _exp(result):
    return result[0], math.exp(result[1])


def _choose(key: Callable) -> Callable:
    """Takes the finished candidate with the largest `key`; gives its ids and score."""

    def best(found, eos):
        score, ids, _ = max(found, key=key)
        return [token for token in ids if token != eos], score

    return best


def _search(
    ask, num_beams, max_length, eos, *, join=add, start=0.0, rank=_score, best=None, cut=True
):
    """The right search, but for the parts that are given.

    A candidate is (score so far, tokens, log-probability of the last token).
    """
    running, found = [(start, (), 0.0)], []
    for _ in range(max_length):
        candidates = [
            (join(score, log_prob), (*prefix, token), log_prob)
            for score, prefix, _ in running
            for token, log_prob in enumerate(ask(prefix))
        ]
        candidates.sort(key=rank, reverse=True)
        found += [c for c in candidates[:num_beams] if c[1][-1] == eos]
        running = [c for c in candidates if c[1][-1] != eos][:num_beams]
    found += running if cut else []
    return (best or _choose(_score))(found, eos)


def _past_eos(ask, num_beams, max_length, eos, *, strip):
    """Extends finished sequences as if eos were a word; `strip` takes eos out of the result."""
    running = [(0.0, ())]
    for _ in range(max_length):
        longer = [(s + lp, (*p, t)) for s, p in running for t, lp in enumerate(ask(p))]
        running = sorted(longer, reverse=True)[:num_beams]
    score, ids = running[0]
    return strip(list(ids), eos), score


def _until_eos(ids, eos):
    return ids[: ids.index(eos)] if eos in ids else ids


def _without_eos_score(ask, num_beams, max_length, eos):
    ids, _ = _search(ask, num_beams, max_length, eos)
    return ids, sum(ask.log_probs(tuple(ids[:k]))[token] for k, token in enumerate(ids))


def _finished_lost(ask, num_beams, max_length, eos):
    """Finished sequences take a place in the beam and are gone in the next step."""
    running = [(0.0, ())]
    for _ in range(max_length):
        open_ = [(s, p) for s, p in running if eos not in p]
        longer = [(s + lp, (*p, t)) for s, p in open_ for t, lp in enumerate(ask(p))]
        running = sorted(longer, reverse=True)[:num_beams] or running
    score, ids = running[0]
    return [token for token in ids if token != eos], score


def _stop(ask, num_beams, max_length, eos, *, among, take_end=False, in_place=False):
    """Stops as soon as one of the first `among(num_beams)` candidates is finished.

    Gives the best candidate of that step, with `take_end` the best finished one. Others that are
    finished are thrown away, with `in_place` after they took a place in the beam.
    """
    running, ends = [(0.0, ())], []
    for _ in range(max_length):
        longer = [(s + lp, (*p, t)) for s, p in running for t, lp in enumerate(ask(p))]
        longer.sort(reverse=True)
        ends = [c for c in longer[: among(num_beams)] if c[1][-1] == eos]
        if ends:
            break
        beam = longer[:num_beams] if in_place else longer
        running = [c for c in beam if c[1][-1] != eos][:num_beams]
    score, ids = ((take_end and ends) or longer)[0]
    return [token for token in ids if token != eos], score


_GREEDY = (
    "this is greedy search: one beginning goes on at each step. Do you keep num_beams different "
    "ones, or copies of one?"
)
_PROBABILITIES = (
    "probabilities are added up: the probability of a sequence is a product, and its logarithm "
    "the sum of the logs. What does next_log_probs give you?"
)
_LOGS_MULTIPLIED = (
    "log-probabilities are multiplied: a product of probabilities is a sum of their logs. "
    "Where is the times that should be a plus?"
)
_LAST_ONLY = (
    "beginnings are ranked by their last token alone: the score so far is forgotten. "
    "What do you add the new log-probability to?"
)
_DROPPED = (
    "finished sequences get lost: one that ended early may be the best of all. "
    "Where do you keep those that end with eos, and do you look at them at the end?"
)
_PAST_EOS = "you go on after eos as if it were a word: where do you set a finished sequence aside?"
_MEAN = (
    "you divide by the length: that looks for the best mean, not for the most probable sequence. "
    "Which of the two does this exercise ask for?"
)
_FIRST = "you stop at the first finished sequence: can a longer one still be better?"
_LEADER = (
    "you stop when the best of the beam is finished and throw the finished ones before it away: "
    "was one of them better? Where do you keep them?"
)
_ORDER = "you return the {} finished sequence, not the best: by what do you choose?"
_LENGTH = (
    "your sequences are one token {}: max_length counts all tokens, eos too. "
    "How often may your loop run?"
)


def _without_last(found, eos):
    score, ids, _ = max(found)
    return list(ids[:-1]), score


def _neg(candidate):
    return -candidate[0]


BEAM_SEARCH = Exercise(
    name="01.5",
    title="Beam search",
    judge=Comparison(
        parameters=("next_log_probs", "num_beams", "max_length", "eos"),
        outputs={"ids": "tokens", "score": "a number"},
        solution=solutions.beam_search,
        cases=_cases,
        diagnose=_diagnose,
        audit=_audit,
        read=_read,
        tips=(
            (
                r"empty (sequence|iterable)|index out of range",
                "is your list of finished sequences empty? One with max_length tokens counts, too.",
            ),
        ),
    ),
    mistakes=(
        Mistake(_GREEDY, lambda ask, k, n, eos: _search(ask, 1, n, eos)),
        Mistake(_PROBABILITIES, partial(_search, join=lambda s, lp: s + math.exp(lp))),
        Mistake(_LOGS_MULTIPLIED, partial(_search, join=lambda s, lp: s * lp, start=1.0)),
        Mistake(_LAST_ONLY, partial(_search, join=lambda s, lp: lp)),
        Mistake(_LAST_ONLY, partial(_search, rank=lambda c: c[2])),
        Mistake(_DROPPED, _finished_lost),
        Mistake(
            _DROPPED,
            partial(
                _search,
                best=lambda found, eos: _choose(_score)([c for c in found if eos not in c[1]], eos),
            ),
        ),
        Mistake(_PAST_EOS, partial(_past_eos, strip=_until_eos)),
        Mistake(_PAST_EOS, partial(_past_eos, strip=lambda ids, eos: [t for t in ids if t != eos])),
        Mistake(_MEAN, partial(_search, best=_choose(lambda c: c[0] / len(c[1])))),
        Mistake(_FIRST, partial(_search, best=lambda found, eos: _choose(_score)(found[:1], eos))),
        # Stops at an end in the beam, or anywhere, and takes what leads then, or the end.
        Mistake(_FIRST, partial(_stop, among=lambda k: k)),
        Mistake(_FIRST, partial(_stop, among=lambda k: None)),
        Mistake(_FIRST, partial(_stop, among=lambda k: None, take_end=True)),
        Mistake(_LEADER, partial(_stop, among=lambda k: 1)),
        Mistake(_LEADER, partial(_stop, among=lambda k: 1, in_place=True)),
        Mistake(_ORDER.format("longest"), partial(_search, best=_choose(lambda c: len(c[1])))),
        Mistake(
            _ORDER.format("last"),
            partial(_search, best=lambda found, eos: _choose(_score)(found[-1:], eos)),
        ),
        Mistake(
            "you return the worst finished sequence: is a log-probability of -1 better or worse "
            "than one of -5, and how does your sort put them?",
            partial(_search, best=_choose(_neg)),
        ),
        Mistake(
            "the least probable beginnings go on: is a log-probability of -1 better or worse than "
            "one of -5, and how does your sort put them?",
            partial(_search, rank=_neg),
        ),
        Mistake(
            "a sequence that reaches max_length without eos is not counted: it ends there, too. "
            "What do you do with the beginnings that are left after the loop?",
            partial(_search, cut=False),
        ),
        Mistake(_LENGTH.format("too long"), lambda ask, k, n, eos: _search(ask, k, n + 1, eos)),
        Mistake(_LENGTH.format("too short"), lambda ask, k, n, eos: _search(ask, k, n - 1, eos)),
        Mistake(
            "the last token is always taken off, but a sequence cut at max_length has no eos: what "
            "do you know about its last token?",
            lambda ask, k, n, eos: _search(ask, k, n, eos, best=_without_last),
        ),
        Mistake(
            "the tokens are right, the score lacks the log-probability of eos: ending is a choice, "
            "too. Where do you add it?",
            _without_eos_score,
        ),
        Mistake(
            "the tokens are right, the score is a probability: which function did you apply to the "
            "sum of logs?",
            lambda ask, k, n, eos: _exp(_search(ask, k, n, eos)),
        ),
    ),
)
