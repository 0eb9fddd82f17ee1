"""A made-up model of next tokens for exercises on search: a table.

It counts how it is asked, so that a search that keeps too many beginnings, or never ends, is
recognised.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from course_utils.exercises.checking import Hint

MAX_CALLS, MAX_TOKENS = 1000, 20


class Table:
    """`next_log_probs` of a small made-up model that remembers what it was asked.

    Parameters
    ----------
    size : int
        V, tokens 0 to V - 1.
    eos : int
        Token that ends a sequence.
    rows : dict
        Probabilities for some beginnings; the others are drawn.
    seed : int
        For drawing: the same beginning gets the same numbers on every machine.
    """

    def __init__(
        self,
        size: int,
        eos: int,
        rows: dict[tuple[int, ...], tuple[float, ...]] | None = None,
        seed: int = 0,
    ) -> None:
        self.size, self.eos, self.rows, self.seed = size, eos, rows or {}, seed
        self.calls, self.asked = 0, defaultdict(set)

    def __call__(self, prefix: Any) -> list[float]:
        try:
            prefix = tuple(int(token) for token in prefix)
        except (TypeError, ValueError):
            raise Hint(
                "next_log_probs takes a tuple of all tokens so far, such as () or (3, 1), it got "
                f"{prefix!r}: does a comma lack, (3,) instead of (3)?"
            ) from None
        if odd := [token for token in prefix if not 0 <= token < self.size]:
            raise Hint(f"there is no token {odd[0]}, only 0 to {self.size - 1}: where is it from?")
        self.calls += 1
        self.asked[len(prefix)].add(prefix)
        if self.calls > MAX_CALLS or len(prefix) > MAX_TOKENS:
            raise Hint(
                f"stopped at call number {self.calls} of next_log_probs, with {len(prefix)} "
                "tokens: does every beginning end, with eos or with max_length tokens, and do you "
                "drop all but num_beams of them?"
            )
        return self.log_probs(prefix)

    def log_probs(self, prefix: tuple[int, ...]) -> list[float]:
        """The same without counting."""
        row = self.rows.get(prefix)
        if row is None:
            draw = random.Random(f"{self.seed} {prefix}")
            row = [draw.random() ** 3 + 1e-3 for _ in range(self.size)]
        return [math.log(p / sum(row)) for p in row]

    def score(self, ids: Sequence[int], max_length: int) -> float:
        """Sum of the log-probabilities of a whole sequence, given without its eos."""
        whole = [*ids, self.eos] if len(ids) < max_length else list(ids)
        return sum(self.log_probs(tuple(whole[:k]))[token] for k, token in enumerate(whole))
