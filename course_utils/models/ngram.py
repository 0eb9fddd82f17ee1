"""The language model before neural networks: counts of n-grams, smoothed by Kneser and Ney.

The probability of a token after its context h mixes what was counted after h, a discount taken off
every count, with the probability after h without its first token,

    P(w | h) = max(c(h w) - D, 0) / c(h) + D N(h .) / c(h) * P(w | h')

where N(h .) is the number of different tokens after h. Below the highest order c(h w) is not how
often "h w" occurs, but after how many different tokens: "Francisco" is frequent, and follows only
"San". At the bottom all tokens are equally likely.

D depends on the count (1, 2, or 3 and more) and is estimated from the data.

Axis letters: N tokens of the text, V vocabulary, U different n-grams.
Sources: Kneser and Ney 1995, Improved backing-off for m-gram language modeling; Chen and Goodman
1999, An empirical study of smoothing techniques for language modeling, section 3 (modified).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

# Where the counts of counts allow no estimate, in a tiny text.
FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class _Level:
    """The k-grams of one length. A k-gram's key is (number of its (k-1)-gram) * V + last token."""

    keys: numpy.ndarray  # U, rising; a k-gram's number is its place here
    share: numpy.ndarray  # U, its discounted count over its context's
    rest: numpy.ndarray  # contexts, what is left for shorter contexts


class NGram:
    """Interpolated modified Kneser-Ney smoothing over token ids.

    Parameters
    ----------
    order : int
        Tokens that are looked at together: 0 all tokens are equally likely, 1 frequencies, 2 pairs.
    vocab_size : int
        V.
    discount : float, optional
        One D for all counts, above 0 and below 1; estimated by default, three for each length.

    Raises
    ------
    ValueError
        When a number is out of its range.

    Examples
    --------
    >>> model = NGram(2, vocab_size=3).fit([0, 1, 2, 0, 1, 2, 0, 1])
    >>> numpy.exp(model.log_probs([0, 1, 2])).round(2).tolist()
    [0.33, 0.67, 0.67]
    """

    def __init__(self, order: int, vocab_size: int, discount: float | None = None) -> None:
        if order < 0:
            raise ValueError(f"the order is 0 or more, got {order}")
        if vocab_size < 1:
            raise ValueError(f"the vocabulary has a token at least, got {vocab_size}")
        if discount is not None and not 0 < discount < 1:
            raise ValueError(f"the discount is above 0 and below 1, got {discount}")
        self.order, self.vocab_size, self.discount = order, vocab_size, discount
        self._levels: list[_Level] | None = None

    def fit(self, ids: Sequence[int] | Any) -> NGram:
        """Count a text; returns the model itself.

        Parameters
        ----------
        ids : sequence, array or tensor of int, "N"
            One text; several are joined by a token that ends a text.

        Raises
        ------
        ValueError
            When the ids are not a row of tokens of the vocabulary, or fewer than the order.
        """
        ids = self._checked(ids)
        if len(ids) < (least := max(self.order, 1)):
            raise ValueError(f"order {self.order} needs {least} tokens or more, got {len(ids)}")
        self._levels = []
        grams: list[tuple] = []
        number, contexts = numpy.zeros(len(ids), dtype=numpy.int64), 1
        for length in range(self.order):
            ends = ids[length:]
            keys = number[: len(ends)] * self.vocab_size + ends
            keys, first, number, counts = numpy.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            if grams:  # each longer n-gram adds one to the n-gram that it ends with
                shorter, place, size, _ = grams[-1]
                found = numpy.bincount(place[first + 1], minlength=len(shorter))
                grams[-1] = (shorter, place, size, found)
            grams.append((keys, number, contexts, counts))
            contexts = len(keys)
        self._levels = [self._level(keys, size, counts) for keys, _, size, counts in grams]
        return self

    def log_probs(self, ids: Sequence[int] | Any) -> numpy.ndarray:
        """Log-probability of each token given those before it, in nats.

        Parameters
        ----------
        ids : sequence, array or tensor of int, "N"
            The first tokens have shorter contexts.

        Returns
        -------
        float64 array "N"

        Raises
        ------
        ValueError
            When the ids are not a row of tokens of the vocabulary.
        RuntimeError
            When the model was not fitted.
        """
        if self._levels is None:
            raise RuntimeError("the model has counted nothing yet: call fit(ids) first")
        ids = self._checked(ids)
        probabilities = numpy.full(len(ids), 1 / self.vocab_size)
        context = numpy.zeros(len(ids), dtype=numpy.int64)  # its number, -1 for an unknown one
        for level in self._levels:
            keys = context * self.vocab_size + ids
            place = numpy.searchsorted(level.keys, keys).clip(max=len(level.keys) - 1)
            known = (context >= 0) & (level.keys[place] == keys)
            rest = numpy.where(context >= 0, level.rest[context], 1.0)
            probabilities = rest * probabilities + numpy.where(known, level.share[place], 0.0)
            context = numpy.concatenate([[-1], numpy.where(known, place, -1)[:-1]])
        return numpy.log(probabilities)

    def _level(self, keys: numpy.ndarray, contexts: int, counts: numpy.ndarray) -> _Level:
        discounts = numpy.array([0.0, *self._discounts(counts)])
        off = numpy.minimum(discounts[counts.clip(max=3)], counts)
        context = keys // self.vocab_size
        total = numpy.bincount(context, weights=counts, minlength=contexts)
        taken = numpy.bincount(context, weights=off, minlength=contexts)
        # A context that ends the text was followed by nothing: all is left for shorter ones.
        rest = numpy.divide(taken, total, out=numpy.ones(contexts), where=total > 0)
        share = (counts - off) / numpy.maximum(total, 1)[context]
        return _Level(keys, share, rest)

    def _discounts(self, counts: numpy.ndarray) -> Sequence[float]:
        """What is taken off a count of 1, 2, and 3 or more: Chen and Goodman, equation 26."""
        if self.discount is not None:
            return (self.discount,) * 3
        n = [int((counts == count).sum()) for count in (1, 2, 3, 4)]
        if not all(n):
            return FALLBACK
        y = n[0] / (n[0] + 2 * n[1])
        found = tuple(k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3))
        return found if all(0 < d < k for k, d in enumerate(found, start=1)) else FALLBACK

    def _checked(self, ids: Any) -> numpy.ndarray:
        ids = numpy.asarray(ids)
        if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
            raise ValueError(f"ids are one row of whole numbers, got {ids.dtype} {ids.shape}")
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise ValueError(
                f"ids are 0 to {self.vocab_size - 1}, got {ids.min()} to {ids.max()}: "
                "is it another tokenizer's text?"
            )
        return ids.astype(numpy.int64)
