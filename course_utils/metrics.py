"""How good a translation or an alignment is, as one number.

BLEU is sacreBLEU's: this module only puts several references per sentence into its form.
"""

from __future__ import annotations

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
