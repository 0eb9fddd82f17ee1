"""Choosing the next token from a model's logits: filters, a random draw, the most probable one.

Every filter is a pure function from logits to logits; a token that it hides becomes -inf, which is
a probability of 0. `filtered` puts them in the order of the `transformers` library,

    repetition penalty -> temperature -> top-k -> top-p -> min-p -> softmax

and each step gives what the library's own step gives, ties included (`tests/test_sampling.py`).

Axis letters: B rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def with_temperature(logits: Float[Tensor, "B V"], temperature: float) -> Float[Tensor, "B V"]:
    """Divide the logits: below 1 the likely tokens gain, above 1 the unlikely ones.

    Boltzmann's distribution: probability ~ exp(logit / temperature).

    Parameters
    ----------
    logits : Float "B V"
        Scores of the next token; -inf is a hidden token.
    temperature : float
        Above 0. Near 0 only the best token is left, towards infinity all are equally likely.

    Raises
    ------
    ValueError
        When the temperature is not a positive number, or so small that the logits overflow; when
        the logits are empty, hold nan or +inf, or a row hides every token.

    Examples
    --------
    >>> with_temperature(torch.tensor([[2.0, 1.0]]), 0.5).tolist()
    [[4.0, 2.0]]
    """
    _check(logits)
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature is a number above 0, got {temperature}: "
            "for the most probable token, the limit at 0, use greedy"
        )
    divided = logits / temperature
    if not divided.amax(dim=-1).isfinite().all():
        raise ValueError(
            f"temperature {temperature} is too small: the logits overflow. "
            "For the most probable token use greedy"
        )
    return divided


def keep_top_k(logits: Float[Tensor, "B V"], k: int) -> Float[Tensor, "B V"]:
    """Hide all but the k best tokens; tokens that tie with the last of them stay, too.

    Parameters
    ----------
    logits : Float "B V"
    k : int
        1 or more; with V or more nothing is hidden.

    Raises
    ------
    ValueError
        When k is not a whole number of 1 or more, or the logits are wrong (`with_temperature`).

    References
    ----------
    Fan et al. 2018, Hierarchical Neural Story Generation, section 5.4.

    Examples
    --------
    >>> keep_top_k(torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0]]), 2).tolist()
    [[3.0, -inf, 2.0], [0.0, 0.0, 0.0]]
    """
    _check(logits)
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"top-k keeps a whole number of tokens, 1 or more, got {k!r}")
    last = logits.topk(min(k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < last, -math.inf)


def keep_top_p(logits: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """Hide all but the nucleus: the fewest likely tokens whose probabilities add up to p or more.

    Of tokens that tie at its border only those that are needed stay.

    Parameters
    ----------
    logits : Float "B V"
    p : float
        Above 0, at most 1, where every token of a probability above 0 stays.

    Raises
    ------
    ValueError
        When p is outside (0, 1], or the logits are wrong (`with_temperature`).

    References
    ----------
    Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1.

    Examples
    --------
    >>> keep_top_p(torch.tensor([[0.5, 0.2, 0.3]]).log(), 0.7).exp()
    tensor([[0.5000, 0.0000, 0.3000]])
    """
    _check(logits)
    if not 0 < p <= 1:
        raise ValueError(f"top-p is a share of the probability above 0 and at most 1, got {p}")
    ascending, order = logits.sort(dim=-1)
    # Hide from the least likely on, as long as all hidden ones together are at most 1 - p.
    hide = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    hide[:, -1] = False
    return logits.masked_fill(hide.scatter(1, order, hide), -math.inf)


def keep_min_p(logits: Float[Tensor, "B V"], min_p: float) -> Float[Tensor, "B V"]:
    """Hide tokens whose probability is below `min_p` times that of the best token.

    Parameters
    ----------
    logits : Float "B V"
    min_p : float
        0, where nothing is hidden, to 1, where the best token stays, with those that tie with it.

    Raises
    ------
    ValueError
        When `min_p` is outside [0, 1], or the logits are wrong (`with_temperature`).

    References
    ----------
    Nguyen et al. 2024, Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs.

    Examples
    --------
    >>> keep_min_p(torch.tensor([[0.6, 0.3, 0.1]]).log(), 0.25).exp()
    tensor([[0.6000, 0.3000, 0.0000]])
    """
    _check(logits)
    if not 0 <= min_p <= 1:
        raise ValueError(f"min-p is a share of the best probability from 0 to 1, got {min_p}")
    probabilities = logits.softmax(dim=-1)
    least = min_p * probabilities.amax(dim=-1, keepdim=True)
    return logits.masked_fill(probabilities < least, -math.inf)


def penalise_repetition(
    logits: Float[Tensor, "B V"],
    ids_so_far: Int[Tensor, "B T"],
    penalty: float,
    mask: Bool[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B V"]:
    """Make tokens that stand in the text already less likely, each once.

    A positive logit is divided by the penalty, a negative one multiplied. So the result depends on
    where the model puts its zero, which softmax does not.

    Parameters
    ----------
    logits : Float "B V"
    ids_so_far : Int "B T"
        The text, prompt included.
    penalty : float
        Above 0; above 1 makes repetition rarer, below 1 more frequent.
    mask : Bool "B T", optional
        False for padding: its ids do not count.

    Raises
    ------
    ValueError
        When the penalty is not positive, shapes do not fit, an id is not in the vocabulary, or the
        logits are wrong (`with_temperature`).

    References
    ----------
    Keskar et al. 2019, CTRL: A Conditional Transformer Language Model for Controllable Generation,
    section 4.1.

    Examples
    --------
    >>> penalise_repetition(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1, 0]]), 2.0)
    tensor([[ 1., -4.,  1.]])
    """
    _check(logits)
    if not 0 < penalty < math.inf:
        raise ValueError(f"the repetition penalty is a number above 0, got {penalty}")
    batch, size = logits.shape
    if ids_so_far.ndim != 2 or len(ids_so_far) != batch:
        raise ValueError(
            f"ids are one row for each of {batch} rows of logits, got {tuple(ids_so_far.shape)}"
        )
    if mask is not None and (mask.shape != ids_so_far.shape or mask.dtype != torch.bool):
        raise ValueError(
            f"mask is boolean of the ids' shape {tuple(ids_so_far.shape)}, "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )
    counted = ids_so_far if mask is None else ids_so_far[mask]
    if counted.numel() and (counted.min() < 0 or counted.max() >= size):
        raise ValueError(
            f"ids are 0 to {size - 1}, got {int(counted.min())} to {int(counted.max())}"
        )
    if mask is not None:
        ids_so_far = ids_so_far.masked_fill(~mask, size)  # one column more, which is cut off below
    seen = logits.new_zeros(batch, size + 1, dtype=torch.bool).scatter(1, ids_so_far, True)
    penalised = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(seen[:, :size], penalised, logits)


def filtered(
    logits: Float[Tensor, "B V"],
    *,
    ids: Int[Tensor, "B T"] | None = None,
    mask: Bool[Tensor, "B T"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
) -> Float[Tensor, "B V"]:
    """Give the probabilities that `sample` draws from.

    Parameters
    ----------
    logits : Float "B V"
        Scores of the next token; those of half precision are made float32 first.
    ids : Int "B T", optional
        The text so far; the repetition penalty needs it.
    mask : Bool "B T", optional
        False for padding in `ids`.
    temperature, top_k, top_p, min_p, repetition_penalty
        See `with_temperature`, `keep_top_k`, `keep_top_p`, `keep_min_p` and `penalise_repetition`;
        None leaves a filter out.

    Returns
    -------
    Float "B V"
        Each row adds up to 1; a hidden token has 0.

    Raises
    ------
    ValueError
        When a choice or the logits are wrong, or the penalty is not 1 and there are no ids.

    Examples
    --------
    >>> filtered(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_k=2).tolist()
    [[0.625, 0.375, 0.0]]
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    if repetition_penalty != 1:
        if ids is None:
            raise ValueError("the repetition penalty needs ids, the text so far: sample(ids=...)")
        logits = penalise_repetition(logits, ids, repetition_penalty, mask)
    logits = with_temperature(logits, temperature)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    if min_p is not None:
        logits = keep_min_p(logits, min_p)
    return logits.softmax(dim=-1)


def sample(
    logits: Float[Tensor, "B V"],
    *,
    ids: Int[Tensor, "B T"] | None = None,
    mask: Bool[Tensor, "B T"] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " B"]:
    """Draw the next token of each row.

    Parameters
    ----------
    logits, ids, mask, temperature, top_k, top_p, min_p, repetition_penalty
        As in `filtered`, which gives the probabilities.
    generator : torch.Generator, optional
        On the logits' device; with a seed the draw can be repeated.

    Examples
    --------
    >>> draw = torch.Generator().manual_seed(0)
    >>> sample(torch.tensor([[1.0, 5.0, 2.0]] * 2), top_k=1, generator=draw).tolist()
    [1, 1]
    """
    probabilities = filtered(
        logits,
        ids=ids,
        mask=mask,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
    )
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)


def greedy(logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
    """Take the most probable token of each row, the first of those that tie.

    Examples
    --------
    >>> greedy(torch.tensor([[1.0, 5.0, 5.0], [3.0, 0.0, 0.0]])).tolist()
    [1, 0]
    """
    _check(logits)
    return logits.argmax(dim=-1)


def _check(logits: Tensor) -> None:
    if logits.ndim != 2 or not logits.shape[-1]:
        raise ValueError(
            "logits are rows x vocabulary, with a token at least, "
            f"got the shape {tuple(logits.shape)}"
        )
    best = logits.amax(dim=-1)  # nan and +inf come through; -inf is a row without any token
    if not best.isfinite().all():
        row = int((~best.isfinite()).nonzero()[0])
        what = "hides every token" if best[row] == -math.inf else f"holds {best[row].item()}"
        raise ValueError(
            f"row {row} of the logits {what}: look at the model's weights, its loss and its masks"
        )
