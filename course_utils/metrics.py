"""How good a translation, an alignment, a language model or what it writes is, as one number.

BLEU is sacreBLEU's: this module only puts several references per sentence into its form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

References = Sequence[str] | Sequence[Sequence[str]]


def _as_lists(hypotheses: Sequence[str], references: References) -> list[list[str]]:
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise TypeError("hypotheses and references are sequences of sentences, got one string")
    if len(hypotheses) != len(references):
        raise ValueError(
            f"every hypothesis needs its reference, got {len(hypotheses)} hypotheses "
            f"and {len(references)} references"
        )
    if not hypotheses:
        raise ValueError("there is nothing to score: no hypotheses")
    lists = [
        [reference] if isinstance(reference, str) else list(reference) for reference in references
    ]
    if empty := [index for index, several in enumerate(lists) if not several]:
        raise ValueError(f"hypothesis {empty[0]} has no reference")
    return lists


def bleu(hypotheses: Sequence[str], references: References, tokenize: str = "none") -> float:
    """BLEU of a corpus.

    Parameters
    ----------
    hypotheses : sequence of str
        Translations.
    references : sequence of str, or of sequences of str
        One reference for each hypothesis, or several; their number may differ.
    tokenize : str
        sacreBLEU's tokenizer; "none" for text that is tokenised already.

    Returns
    -------
    float
        0 to 100.

    Raises
    ------
    ValueError
        When the two lists differ in length or are empty.

    References
    ----------
    Papineni et al. 2002, BLEU; Post 2018, A Call for Clarity in Reporting BLEU Scores.

    Examples
    --------
    >>> round(bleu(["the cat sat on the mat"], [["a cat sat on the mat", "the cat sat here"]]), 1)
    86.3
    """
    from sacrebleu.metrics import BLEU

    lists = _as_lists(hypotheses, references)
    most = max(map(len, lists))
    streams = [[row[k] if k < len(row) else None for row in lists] for k in range(most)]
    return BLEU(tokenize=tokenize, force=True).corpus_score(list(hypotheses), streams).score


def exact_match(hypotheses: Sequence[str], references: References) -> float:
    """Share of hypotheses that equal one of their references, 0 to 1.

    Examples
    --------
    >>> exact_match(["i sleep .", "i run ."], [["i sleep .", "i am asleep ."], ["i ran ."]])
    0.5
    """
    lists = _as_lists(hypotheses, references)
    hits = sum(hypothesis in several for hypothesis, several in zip(hypotheses, lists, strict=True))
    return hits / len(lists)


Links = Iterable[tuple[int, int]]


def alignment_error_rate(predicted: Sequence[Links], gold: Sequence[Links]) -> float:
    """Alignment error rate of a corpus; here every gold link is a sure one.

    Parameters
    ----------
    predicted, gold : sequence of collections of (source position, target position)
        The links of each sentence.

    Returns
    -------
    float
        1 - 2 |A and G| / (|A| + |G|): 0 is perfect, 1 shares nothing.

    Raises
    ------
    ValueError
        When the lists differ in length, or hold no link at all.

    References
    ----------
    Och and Ney 2003, A Systematic Comparison of Various Statistical Alignment Models, equation 21
    with S = P.

    Examples
    --------
    >>> alignment_error_rate([[(0, 0), (1, 2)]], [[(0, 0), (1, 1)]])
    0.5
    """
    if len(predicted) != len(gold):
        raise ValueError(f"got links of {len(predicted)} sentences and gold of {len(gold)}")
    pairs = [(set(a), set(g)) for a, g in zip(predicted, gold, strict=True)]
    size = sum(len(a) + len(g) for a, g in pairs)
    if not size:
        raise ValueError("there is no link to score")
    return 1 - 2 * sum(len(a & g) for a, g in pairs) / size


def strongest_links(weights: Any) -> list[tuple[int, int]]:
    """Read an alignment off attention: each target word with its most attended source word.

    Parameters
    ----------
    weights : matrix "T S"
        One row per target word, without a row for the end token.

    Returns
    -------
    list of (source position, target position)

    Examples
    --------
    >>> import torch
    >>> strongest_links(torch.tensor([[0.2, 0.8], [0.9, 0.1]]))
    [(1, 0), (0, 1)]
    """
    return [(int(row.argmax()), position) for position, row in enumerate(weights)]


def perplexity(log_probs: Any) -> float:
    """Perplexity of a text: so many equally likely tokens would be as hard to guess.

    Parameters
    ----------
    log_probs : sequence, array or tensor of float
        Log-probability of each token, in nats.

    Returns
    -------
    float
        exp of the mean of -log_probs; 1 or more.

    Raises
    ------
    ValueError
        When there is no token, or a number is not a log-probability.

    Examples
    --------
    >>> import math
    >>> round(perplexity([math.log(1 / 4), math.log(1 / 16)]), 6)
    8.0
    """
    surprises = _surprises(log_probs)
    return math.exp(sum(surprises) / len(surprises))


def bits_per_byte(log_probs: Any, num_bytes: int) -> float:
    """Bits that a model needs for each byte of a text; it compares models with other tokens.

    Parameters
    ----------
    log_probs : sequence, array or tensor of float
        Log-probability of each token of the text, in nats.
    num_bytes : int
        Length of the same text: `len(text.encode())`.

    Returns
    -------
    float
        8 is no better than storing the text as it is.

    Raises
    ------
    ValueError
        As in `perplexity`, or when there is no byte.

    Examples
    --------
    >>> import math
    >>> bits_per_byte([math.log(1 / 4), math.log(1 / 16)], num_bytes=3)
    2.0
    """
    if num_bytes < 1:
        raise ValueError(f"the text has 1 byte or more, got {num_bytes}")
    return sum(_surprises(log_probs)) / math.log(2) / num_bytes


def _surprises(log_probs: Any) -> list[float]:
    """-log p of each token, as float64."""
    values = _as_list(log_probs)
    if not values:
        raise ValueError("there is nothing to measure: no log-probabilities")
    if wrong := [value for value in values if not value <= 1e-6]:
        raise ValueError(f"a log-probability is 0 or less, got {wrong[0]}")
    return [-value for value in values]


def _as_list(row: Any) -> list:
    """A row of numbers, ids or words; elements of a tensor would all differ from each other."""
    return row.tolist() if hasattr(row, "tolist") else list(row)


def distinct_n(sequences: Iterable[Any], n: int) -> float:
    """Diversity of several texts: the share of different n-grams among all of theirs.

    Parameters
    ----------
    sequences : several sequences of ids or words
        Lists, arrays or tensors. A text that is shorter than n has none.
    n : int
        1 or more.

    Returns
    -------
    float
        Above 0, at most 1. It falls with the length of the texts: compare equal lengths.

    Raises
    ------
    ValueError
        When n is below 1, or no text has n tokens.

    References
    ----------
    Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models,
    section 5.3.

    Examples
    --------
    >>> distinct_n(["the cat sat".split(), "the cat ran".split()], 2)
    0.75
    """
    if n < 1:
        raise ValueError(f"n-grams have 1 token or more, got n = {n}")
    rows = [_as_list(row) for row in sequences]
    grams = [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]
    if not grams:
        raise ValueError(f"no sequence has {n} tokens")
    return len(set(grams)) / len(grams)


def repetition(sequence: Any, n: int = 4) -> float:
    """Share of a text's n-grams that stand in it before: 0 has no loop, near 1 is one loop.

    Parameters
    ----------
    sequence : sequence of ids or words
    n : int
        1 or more.

    Raises
    ------
    ValueError
        As in `distinct_n`.

    References
    ----------
    Welleck et al. 2020, Neural Text Generation with Unlikelihood Training, section 6 (seq-rep-n).

    Examples
    --------
    >>> repetition("a b a b a b".split(), 2)
    0.6
    """
    return 1 - distinct_n([sequence], n)
