"""Solutions of the exercises of lesson 4, written to be read.

Axis letters: B batch, T tokens or positions so far, N tokens of a text, V vocabulary, D width of
a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def bits_per_byte(log_probs: Float[Tensor, " N"], num_bytes: int) -> float:
    """Exercise 04.1: how many bits a model needs for each byte of a text.

    Parameters
    ----------
    log_probs : Float "N"
        Natural logarithm of the probability of each token.
    num_bytes : int
        Length of the same text in UTF-8.

    Returns
    -------
    float

    Examples
    --------
    >>> round(bits_per_byte(torch.tensor([1 / 2, 1 / 8, 1 / 16]).log(), 5), 4)
    1.6
    """
    bits = -log_probs.double().sum().item() / math.log(2)
    return bits / num_bytes


def next_token_loss(
    logits: Float[Tensor, "B T V"], ids: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Exercise 04.2: mean cross-entropy of each next token that is real.

    Parameters
    ----------
    logits : Float "B T V"
        At each position the scores of the token after it.
    ids : Int "B T"
    mask : Bool "B T"
        True = a real token; padding stands at the end.

    Returns
    -------
    Float ""
        In nats.

    Examples
    --------
    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0], [0.0, 0.0]]])
    >>> ids, mask = torch.tensor([[0, 1, 1]]), torch.tensor([[True, True, False]])
    >>> round(next_token_loss(logits, ids, mask).item(), 4)
    0.6931
    """
    target, real = ids[:, 1:], mask[:, 1:]
    return F.cross_entropy(logits[:, :-1][real], target[real])


def top_p(probabilities: Float[Tensor, " V"], p: float) -> Float[Tensor, " V"]:
    """Exercise 04.3: the nucleus, the fewest likely tokens that reach p together.

    Parameters
    ----------
    probabilities : Float "V"
        They sum to 1.
    p : float
        Above 0, at most 1.

    Returns
    -------
    Float "V"
        The others have 0; the sum is 1 again.

    References
    ----------
    Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1.

    Examples
    --------
    >>> top_p(torch.tensor([0.15, 0.5, 0.05, 0.3]), 0.6)
    tensor([0.0000, 0.6250, 0.0000, 0.3750])
    """
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(0) - ordered  # sum of the more likely ones; 0 for the first
    kept = ordered * (before < p)
    nucleus = torch.zeros_like(probabilities)
    nucleus[order] = kept / kept.sum()  # back to the places of the vocabulary
    return nucleus


def generate(
    next_logits: Callable[[list[int]], Tensor],
    prompt: Sequence[int],
    max_new_tokens: int,
    end: int,
) -> list[int]:
    """Exercise 04.4: write on, always with the most probable token.

    Parameters
    ----------
    next_logits : callable
        From all tokens so far to the scores of the next one, Float "V".
    prompt : list of int
    max_new_tokens : int
    end : int
        Token after which nothing is written; in the prompt it has no meaning.

    Returns
    -------
    list of int
        The prompt and the new tokens, `end` included.

    Examples
    --------
    >>> counts = lambda ids: torch.eye(5)[(ids[-1] + 1) % 5]
    >>> generate(counts, [1, 2], 8, end=0)
    [1, 2, 3, 4, 0]
    """
    ids = list(prompt)
    for _ in range(max_new_tokens):
        ids.append(int(next_logits(ids).argmax()))
        if ids[-1] == end:
            break
    return ids


def cached_step(
    query: Float[Tensor, "B 1 D"],
    key: Float[Tensor, "B 1 D"],
    value: Float[Tensor, "B 1 D"],
    cache: dict[str, Tensor],
) -> tuple[Float[Tensor, "B 1 D"], dict[str, Tensor]]:
    """Exercise 04.5: attention of one new position, with the keys and values of those before.

    Parameters
    ----------
    query, key, value : Float "B 1 D"
        Of the new position.
    cache : dict
        "keys" and "values", Float "B T D", of the positions so far; T may be 0. Not changed.

    Returns
    -------
    output : Float "B 1 D"
        The last row of causal attention over all T + 1 positions.
    cache : dict
        With the new position at the end.
    """
    keys = torch.cat([cache["keys"], key], dim=1)
    values = torch.cat([cache["values"], value], dim=1)
    scores = query @ keys.mT / math.sqrt(query.shape[-1])
    return scores.softmax(dim=-1) @ values, {"keys": keys, "values": values}
