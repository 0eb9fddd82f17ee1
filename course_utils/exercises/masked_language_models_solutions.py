"""Solutions of the exercises of lesson 5, written to be read.

Axis letters: B batch, T length, V vocabulary, N and M tokens of two texts, K places to hide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def pair(
    first: Sequence[int], second: Sequence[int], cls_id: int, sep_id: int
) -> tuple[list[int], list[int]]:
    """Exercise 05.1: two texts as BERT reads them, [CLS] first [SEP] second [SEP].

    Parameters
    ----------
    first, second : list of int
    cls_id, sep_id : int

    Returns
    -------
    ids : list of int
    segment_ids : list of int
        0 up to and with the first [SEP], 1 after it.

    Examples
    --------
    >>> pair([7, 8], [9], cls_id=2, sep_id=3)
    ([2, 7, 8, 3, 9, 3], [0, 0, 0, 0, 1, 1])
    """
    left, right = [cls_id, *first, sep_id], [*second, sep_id]
    return left + right, [0] * len(left) + [1] * len(right)


def hide(
    ids: Int[Tensor, " N"],
    chance: Float[Tensor, " N"],
    other: Int[Tensor, " N"],
    special: Bool[Tensor, " N"],
    mask_id: int,
    share: float,
) -> tuple[Int[Tensor, " N"], Bool[Tensor, " N"]]:
    """Exercise 05.2: hide a share of the ordinary tokens, as BERT does.

    Parameters
    ----------
    ids : Int "N"
        Not changed.
    chance : Float "N"
        A number from 0 to 1 for each token, all equally likely.
    other : Int "N"
        A random token for each place, for those that get another one.
    special : Bool "N"
        True = never chosen.
    mask_id : int
        [MASK].
    share : float
        Of the ordinary tokens, above 0 to 1.

    Returns
    -------
    read : Int "N"
        What the model reads: of the chosen ones 80 % are [MASK], 10 % another token.
    places : Bool "N"
        True = chosen.

    References
    ----------
    Devlin et al. 2019, BERT, appendix A.1.

    Examples
    --------
    >>> ids, other = torch.tensor([2, 7, 8, 9]), torch.tensor([5, 6, 5, 6])
    >>> special, chance = ids == 2, torch.tensor([0.1, 0.1, 0.9, 0.42])
    >>> read, places = hide(ids, chance, other, special, mask_id=4, share=0.5)
    >>> read.tolist(), places.tolist()
    ([2, 4, 8, 6], [False, True, False, True])
    """
    places = (chance < share) & ~special
    way = chance / share  # 0 to 1 for the chosen ones, all equally likely again
    read = torch.where(places & (way < 0.9), other, ids)
    return read.masked_fill(places & (way < 0.8), mask_id), places


def masked_loss(
    logits: Float[Tensor, "B T V"], target: Int[Tensor, "B T"], places: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Exercise 05.3: mean cross-entropy at the places that are asked about.

    Parameters
    ----------
    logits : Float "B T V"
        Scores of the token that stands at the same position.
    target : Int "B T"
        The text without gaps.
    places : Bool "B T"
        True = asked about, once at least.

    Returns
    -------
    Float ""
        In nats.

    Examples
    --------
    >>> target, places = torch.tensor([[0, 1, 1]]), torch.tensor([[False, True, False]])
    >>> round(masked_loss(torch.zeros(1, 3, 2), target, places).item(), 4)
    0.6931
    """
    return F.cross_entropy(logits[places], target[places])


def plateau(
    train_ids: Int[Tensor, " N"], held_out_ids: Int[Tensor, " M"], vocab_size: int
) -> float:
    """Exercise 05.4: cross-entropy of a text under the frequencies of another one.

    Parameters
    ----------
    train_ids : Int "N"
        Counted; each count plus one, so that no token is impossible.
    held_out_ids : Int "M"
        Judged.
    vocab_size : int
        V.

    Returns
    -------
    float
        In nats per token.

    Examples
    --------
    >>> round(plateau(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 2]), 4), 4)
    1.3863
    """
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    log_probs = (counts / counts.sum()).log()
    return -log_probs[held_out_ids].mean().item()


@torch.no_grad()
def pseudo_log_likelihood(
    model: Callable[[Tensor], Any],
    ids: Int[Tensor, " T"],
    mask_id: int,
    special: Bool[Tensor, " T"],
) -> float:
    """Exercise 05.5: how well each token of a text fits all others.

    Parameters
    ----------
    model : callable
        A `BERT`: from ids "B T" to an output with `mlm_logits`, Float "B T V".
    ids : Int "T"
        Not changed.
    mask_id : int
        [MASK].
    special : Bool "T"
        True = read, but not scored.

    Returns
    -------
    float
        Sum over the ordinary tokens of log P(token | all others), in nats.

    References
    ----------
    Salazar et al. 2020, Masked Language Model Scoring, section 2.
    """
    places = (~special).nonzero().flatten()  # K
    rows = torch.arange(len(places))
    copies = ids.repeat(len(places), 1)  # K T
    copies[rows, places] = mask_id  # in each copy one place is hidden
    log_probs = model(copies).mlm_logits[rows, places].log_softmax(dim=-1)  # K V
    return log_probs[rows, ids[places]].sum().item()
