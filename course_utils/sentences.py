"""Pairs of sentences from documents: does the second follow the first?

Source: Devlin et al. 2019, BERT, section 3.1, task 2. What later work found about this task: Liu et
al. 2019, RoBERTa, section 4.2.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Sentences = Sequence[Sequence[int]]


class SentencePair(NamedTuple):
    """Two parts of a text, of one sentence or more each, and whether they come from two texts."""

    first: list[int]
    second: list[int]
    unrelated: bool


def sentence_pairs(
    documents: Sequence[Sentences], max_tokens: int, numbers: random.Random
) -> list[SentencePair]:
    """Cut documents into pairs, half of which get a second part out of another document.

    Each document is cut into chunks of whole sentences, as soon as they have `max_tokens`, and a
    chunk between two of its sentences. What is longer loses tokens at the longer part's ends. Where
    a chunk is a single sentence its second part comes from elsewhere always, as in BERT. Other than
    there, no text is put back for later that had to make way: the next epoch has another chance.

    Parameters
    ----------
    documents : sequence of sequences of sentences
        A sentence is a sequence of ids; two documents or more, without empty ones.
    max_tokens : int
        Of both parts together, without [CLS] and [SEP]; 2 or more.
    numbers : random.Random
        Draws.

    Raises
    ------
    ValueError
        When there are fewer than two documents, an empty one, or `max_tokens` is too small.

    References
    ----------
    Devlin et al. 2019, appendix A.2; `create_pretraining_data.py` of google-research/bert.

    Examples
    --------
    >>> texts = [[[10, 11], [12], [13, 14]], [[20], [21, 22]]]
    >>> for pair in sentence_pairs(texts, 9, random.Random(1)):
    ...     print(pair.first, pair.second, pair.unrelated)
    [10, 11] [12, 13, 14] False
    [20] [12, 13, 14] True
    """
    if len(documents) < 2 or not all(text and all(map(len, text)) for text in documents):
        raise ValueError(
            f"pairs take 2 documents or more, without empty ones or empty sentences, got "
            f"{len(documents)}: leave the empty ones out"
        )
    if max_tokens < 2:
        raise ValueError(f"a pair has 2 tokens or more, got max_tokens={max_tokens}")
    pairs = []
    for index, document in enumerate(documents):
        for chunk in _chunks(document, max_tokens):
            cut = numbers.randint(1, max(1, len(chunk) - 1))
            first, second = _joined(chunk[:cut]), _joined(chunk[cut:])
            if unrelated := not second or numbers.random() < 0.5:
                other = documents[(index + numbers.randrange(1, len(documents))) % len(documents)]
                start = numbers.randrange(len(other))
                second = _joined(next(_chunks(other[start:], max(1, max_tokens - len(first)))))
            _shorten(first, second, max_tokens, numbers)
            pairs.append(SentencePair(first, second, unrelated))
    return pairs


def _chunks(sentences: Sentences, size: int) -> Iterator[list[Sequence[int]]]:
    """Runs of sentences with `size` tokens or, at the end, fewer."""
    chunk: list[Sequence[int]] = []
    for sentence in sentences:
        chunk.append(sentence)
        if sum(map(len, chunk)) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _joined(sentences: Sentences) -> list[int]:
    return [index for sentence in sentences for index in sentence]


def _shorten(first: list[int], second: list[int], size: int, numbers: random.Random) -> None:
    """Take tokens off the ends of the longer part until both together have `size`."""
    while len(first) + len(second) > size:
        longer = first if len(first) > len(second) else second
        del longer[numbers.choice((0, -1))]
