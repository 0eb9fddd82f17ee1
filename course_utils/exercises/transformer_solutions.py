"""Solutions of the exercises of lesson 2, written to be read.

Source: Vaswani et al. 2017, Attention Is All You Need.

Axis letters: B batch, H heads, T, Tq, Tk, S number of positions, queries, keys and positions of
the memory, D, Dv widths of the model and of the values.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def attention(
    query: Float[Tensor, "*N Tq D"],
    key: Float[Tensor, "*N Tk D"],
    value: Float[Tensor, "*N Tk Dv"],
    mask: Bool[Tensor, ...],
) -> tuple[Float[Tensor, "*N Tq Dv"], Float[Tensor, "*N Tq Tk"]]:
    """Exercise 02.1: `softmax(query keyᵀ / √D) value`, keys under the mask left out.

    Parameters
    ----------
    query, key, value : Float "B Tq D", "B Tk D", "B Tk Dv"
        Or with more axes in front, such as one for heads.
    mask : Bool, broadcast to "B Tq Tk"
        True = may attend; every query has a key that it may attend to.

    Returns
    -------
    output, weights : Float "B Tq Dv", "B Tq Tk"
        Each row of the weights sums to 1.

    References
    ----------
    Vaswani et al. 2017, equation 1.

    Examples
    --------
    >>> query, key = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[5.0, 0.0], [-5.0, 0.0]]])
    >>> value, mask = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[True, True]]])
    >>> output, weights = attention(query, key, value, mask)
    >>> output.tolist(), weights.tolist()
    ([[[2.0]]], [[[0.5, 0.5]]])
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)  # exp(-inf) is 0
    return weights @ value, weights


def positions(length: int, d_model: int) -> Float[Tensor, "T D"]:
    """Exercise 02.2: sine and cosine of the position, at D/2 speeds.

    Parameters
    ----------
    length : int
        T, positions 0 to T - 1.
    d_model : int
        D, an even number.

    Returns
    -------
    Float "T D"
        Column 2i holds `sin(position / 10000 ** (2i / D))`, column 2i + 1 the cosine of the same.

    References
    ----------
    Vaswani et al. 2017, section 3.5.

    Examples
    --------
    >>> [[round(x, 3) for x in row] for row in positions(2, 4).tolist()]
    [[0.0, 1.0, 0.0, 1.0], [0.841, 0.54, 0.01, 1.0]]
    """
    position = torch.arange(length).unsqueeze(1)  # T 1
    even = torch.arange(0, d_model, 2)  # 0, 2, 4, ...: the 2i of the equation
    angle = position / 10_000 ** (even / d_model)  # T D/2
    table = torch.empty(length, d_model)
    table[:, 0::2] = angle.sin()
    table[:, 1::2] = angle.cos()
    return table


def multi_head(
    query: Float[Tensor, "B Tq D"],
    key: Float[Tensor, "B Tk D"],
    value: Float[Tensor, "B Tk D"],
    layers: Any,
    num_heads: int,
    mask: Bool[Tensor, "#B #Tq #Tk"],
) -> Float[Tensor, "B Tq D"]:
    """Exercise 02.3: several attentions side by side, each in its own part of the width.

    Parameters
    ----------
    query, key, value : Float "B Tq D", "B Tk D", "B Tk D"
    layers : namespace
        Four `nn.Linear(D, D)`: `query`, `key`, `value`, `output`.
    num_heads : int
        H; each head is D / H wide.
    mask : Bool, broadcast to "B Tq Tk"
        True = may attend, the same in all heads.

    Returns
    -------
    Float "B Tq D"

    References
    ----------
    Vaswani et al. 2017, section 3.2.2.
    """
    batch, length, width = query.shape

    def split(x: Tensor) -> Tensor:
        return x.view(batch, -1, num_heads, width // num_heads).transpose(1, 2)  # -> B H T D/H

    queries, keys = split(layers.query(query)), split(layers.key(key))
    mixed, _ = attention(queries, keys, split(layers.value(value)), mask.unsqueeze(1))
    return layers.output(mixed.transpose(1, 2).reshape(batch, length, width))


def encoder_block(
    x: Float[Tensor, "B T D"],
    mask: Bool[Tensor, "#B #T #T"],
    layers: Any,
    norm: Literal["post", "pre"],
) -> Float[Tensor, "B T D"]:
    """Exercise 02.4: self-attention, then feed-forward, with a residual and a norm around each.

    Parameters
    ----------
    x : Float "B T D"
    mask : Bool, broadcast to "B T T"
        True = may attend.
    layers : namespace
        `attention(query, key, value, mask)`, `feed_forward(x)`, `norm1(x)`, `norm2(x)`; each
        gives "B T D".
    norm : "post" or "pre"
        `norm(x + sublayer(x))` or `x + sublayer(norm(x))`.

    Returns
    -------
    Float "B T D"

    References
    ----------
    Vaswani et al. 2017, section 3.1 ("post"); Xiong et al. 2020, On Layer Normalization in the
    Transformer Architecture ("pre").
    """
    if norm == "post":
        x = layers.norm1(x + layers.attention(x, x, x, mask))
        return layers.norm2(x + layers.feed_forward(x))
    y = layers.norm1(x)
    x = x + layers.attention(y, y, y, mask)
    return x + layers.feed_forward(layers.norm2(x))


def decoder_layer(
    x: Float[Tensor, "B T D"],
    memory: Float[Tensor, "B S D"],
    memory_mask: Bool[Tensor, "B 1 S"],
    layers: Any,
    num_heads: int,
) -> Float[Tensor, "B T D"]:
    """Exercise 02.5: one layer of the decoder, post-norm, as in the paper.

    Parameters
    ----------
    x : Float "B T D"
        The target so far.
    memory : Float "B S D"
        The encoder's output.
    memory_mask : Bool "B 1 S"
        True where a source position is real.
    layers : namespace
        `nn.Linear`s `self_query`, `self_key`, `self_value`, `self_output`, `cross_query`,
        `cross_key`, `cross_value`, `cross_output`, `inner`, `outer`; `nn.LayerNorm`s `norm1`,
        `norm2`, `norm3`.
    num_heads : int
        H.

    Returns
    -------
    Float "B T D"

    References
    ----------
    Vaswani et al. 2017, sections 3.1 to 3.3.
    """
    length = x.shape[1]
    causal = torch.ones(1, length, length, dtype=torch.bool, device=x.device).tril()
    own = four_layers(layers, "self")
    x = layers.norm1(x + multi_head(x, x, x, own, num_heads, causal))
    cross = four_layers(layers, "cross")
    x = layers.norm2(x + multi_head(x, memory, memory, cross, num_heads, memory_mask))
    return layers.norm3(x + layers.outer(layers.inner(x).relu()))


def four_layers(layers: Any, part: str) -> SimpleNamespace:
    """The layers of one attention, `self_query` and so on, under the names of 02.3."""
    names = ("query", "key", "value", "output")
    return SimpleNamespace(**{name: getattr(layers, f"{part}_{name}") for name in names})
