"""Boolean masks with one meaning everywhere: True = this position may be attended to.

Axis letters: B batch, T length, Tq number of queries, Tk number of keys.
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


def causal_mask(
    length: int, device: torch.device | str | None = None, *, offset: int = 0
) -> Bool[Tensor, "Tq Tk"]:
    """Let every position see itself and what came before it.

    Parameters
    ----------
    length : int
        Tq, 0 or more.
    device : optional
        Where the mask is made.
    offset : int
        Positions that were read before these and are seen by all of them: Tk = offset + Tq.

    Returns
    -------
    Bool "Tq Tk"
        True at row (query) i, column (key) j where `j <= offset + i`.

    Raises
    ------
    ValueError
        When `length` or `offset` is negative.

    References
    ----------
    Vaswani et al. 2017, Attention Is All You Need, section 3.2.3.

    Examples
    --------
    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    >>> causal_mask(2, offset=1).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    if length < 0 or offset < 0:
        raise ValueError(f"length and offset are 0 or more, got {length} and {offset}")
    seen = torch.ones(length, offset + length, dtype=torch.bool, device=device)
    return seen.tril(diagonal=offset)


def attention_mask(
    keys: Bool[Tensor, "B Tk"], *, causal: bool = False, offset: int = 0
) -> Bool[Tensor, "B 1 Tq Tk"]:
    """Combine the mask of the keys with the causal one, ready for attention with several heads.

    Parameters
    ----------
    keys : Bool "B Tk"
        True = a real position, as `padding_mask` makes it.
    causal : bool
        A query does not see the keys after it.
    offset : int
        With `causal`: the queries are the last Tq = Tk - offset positions of the keys.

    Returns
    -------
    Bool "B 1 Tq Tk"
        Broadcasts over the heads; without `causal` Tq is 1 and broadcasts over the queries too.

    Raises
    ------
    ValueError
        When there are fewer keys than `offset`, or `offset` is negative.

    Examples
    --------
    >>> attention_mask(torch.tensor([[True, True, False]]), causal=True).int().tolist()
    [[[[1, 0, 0], [1, 1, 0], [1, 1, 0]]]]
    """
    if not causal:
        return keys[:, None, None]
    if offset > keys.shape[1]:
        raise ValueError(f"offset={offset} is more than the {keys.shape[1]} keys that there are")
    return keys[:, None, None] & causal_mask(keys.shape[1] - offset, keys.device, offset=offset)


def check_mask(mask: Tensor, scores: tuple[int, ...]) -> None:
    """Refuse what is not a mask for scores of this shape.

    Raises
    ------
    TypeError
        When the mask is not boolean.
    ValueError
        When it does not broadcast to the scores, or lacks the axis of the heads: "B Tq Tk" would
        be taken for "H Tq Tk".
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is boolean (True = may attend), got {mask.dtype}")
    axes = zip(reversed(mask.shape), reversed(scores), strict=False)
    fits = mask.ndim <= len(scores) and all(m in (1, s) for m, s in axes)
    if not fits or (mask.ndim, len(scores)) == (3, 4):
        wanted = " (batch, heads, queries, keys)" if len(scores) == 4 else ""
        raise ValueError(
            f"a mask must broadcast to the scores {tuple(scores)}{wanted}, got "
            f"{tuple(mask.shape)}; attention_mask makes one from a mask of the keys, B Tk"
        )
