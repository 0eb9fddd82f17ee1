"""Boolean masks with one meaning everywhere: True = this position may be attended to.

Axis letters: B batch, T length.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def padding_mask(lengths: Int[Tensor, " B"], max_length: int | None = None) -> Bool[Tensor, "B T"]:
    """Mark the real positions of padded sequences.

    Parameters
    ----------
    lengths : Int "B"
        Number of real positions of each sequence, 0 or more.
    max_length : int, optional
        T, the padded length; the longest of `lengths` by default.

    Returns
    -------
    Bool "B T"
        True at position t of row b where `t < lengths[b]`.

    Raises
    ------
    ValueError
        When a length is negative or above `max_length`.

    Examples
    --------
    >>> padding_mask(torch.tensor([1, 3])).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    if lengths.numel() and lengths.min() < 0:
        raise ValueError(f"lengths are 0 or more, got {lengths.min().item()}")
    longest = int(lengths.max()) if lengths.numel() else 0
    if max_length is None:
        max_length = longest
    elif longest > max_length:
        raise ValueError(
            f"a sequence of length {longest} does not fit into max_length={max_length}"
        )
    return torch.arange(max_length, device=lengths.device) < lengths[:, None]


def causal_mask(length: int, device: torch.device | str | None = None) -> Bool[Tensor, "T T"]:
    """Let every position see itself and what came before it.

    Parameters
    ----------
    length : int
        T, 0 or more.
    device : optional
        Where the mask is made.

    Returns
    -------
    Bool "T T"
        True at row (query) i, column (key) j where `j <= i`.

    Raises
    ------
    ValueError
        When `length` is negative.

    References
    ----------
    Vaswani et al. 2017, Attention Is All You Need, section 3.2.3.

    Examples
    --------
    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    if length < 0:
        raise ValueError(f"length is 0 or more, got {length}")
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
