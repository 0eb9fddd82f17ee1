"""The transformer's blocks: attention, then a small network for each position.

Around both lie a residual connection and a layer norm, in one of two orders,

    "post"    x = norm(x + sublayer(x))     as in the paper
    "pre"     x = x + sublayer(norm(x))     as most models do since 2019; their stack ends in a norm

Sources: Vaswani et al. 2017, Attention Is All You Need, section 3; Xiong et al. 2020, On Layer
Normalization in the Transformer Architecture. What they compute, dropout included, is what
torch.nn.TransformerEncoderLayer and torch.nn.TransformerDecoderLayer compute.

Axis letters: B batch, H heads, T length, S length of the memory, D model width.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, get_args

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention import MultiHeadAttention, scaled_dot_product
from course_utils.cache import KeyValueCache
from course_utils.embeddings import RotaryPositions

Norm = Literal["pre", "post"]
Activation = Literal["relu", "gelu", "gelu_tanh"]
# GPT-2 computes the GELU through tanh, BERT and ViT exactly.
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh")}


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, the same at each position.

    Parameters
    ----------
    d_model, d_ff : int
        D, and the width between the layers.
    activation : "relu", "gelu" or "gelu_tanh"
    dropout : float
        After the activation.

    Raises
    ------
    ValueError
        When the activation is unknown.

    References
    ----------
    Vaswani et al. 2017, section 3.3.
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: Activation = "relu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {[*ACTIVATIONS]}, got {activation!r}")
        self.inner, self.outer = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.activation, self.dropout = ACTIVATIONS[activation], nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Each position by itself."""
        return self.outer(self.dropout(self.activation(self.inner(x))))


class Residual(nn.Module):
    """What lies around a sub-layer: `add(x, sublayer(read(x)))`.

    Parameters
    ----------
    d_model : int
        D, width.
    norm : "pre" or "post"
        Layer norm of what the sub-layer reads, or of the sum.
    dropout : float
        On what the sub-layer adds.
    eps : float
        Of the layer norm.

    Raises
    ------
    ValueError
        When the norm's place is unknown.
    """

    def __init__(self, d_model: int, norm: Norm, dropout: float, eps: float) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f'norm is "pre" or "post", got {norm!r}')
        self.pre, self.norm = norm == "pre", nn.LayerNorm(d_model, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def read(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """What the sub-layer reads."""
        return self.norm(x) if self.pre else x

    def add(
        self, x: Float[Tensor, "B T D"], change: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"]:
        """What the next sub-layer gets."""
        x = x + self.dropout(change)
        return x if self.pre else self.norm(x)


class RotaryAttention(MultiHeadAttention):
    """Attention of a text to itself, whose queries and keys are turned by their positions.

    Parameters
    ----------
    d_model, num_heads, dropout
        As in `MultiHeadAttention`.
    rotary : RotaryPositions
        For the width of a head, D / H.
    """

    def __init__(
        self, d_model: int, num_heads: int, rotary: RotaryPositions, *, dropout: float = 0.0
    ) -> None:
        super().__init__(d_model, num_heads, dropout=dropout)
        self.rotary = rotary

    def forward(
        self,
        query: Float[Tensor, "B T D"],
        key: Float[Tensor, "B T D"],
        value: Float[Tensor, "B T D"],
        mask: Bool[Tensor, ...] | None = None,
        cache: KeyValueCache | None = None,
        *,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B H T K"] | None]:
        """As in `MultiHeadAttention`; the positions are those behind what the cache holds."""
        past = 0 if cache is None else cache.length
        queries = self.rotary(self._split(self.query(query)), past)
        keys = self.rotary(self._split(self.key(key)), past)
        values = self._split(self.value(value))
        if cache is not None:
            keys, values = cache.append(keys, values)
        options = {"dropout": self.dropout if self.training else 0.0, "need_weights": need_weights}
        mixed, weights = scaled_dot_product(queries, keys, values, mask, **options)
        return self.output(mixed.transpose(1, 2).flatten(2)), weights  # B H T D/H -> B T D


class EncoderBlock(nn.Module):
    """Self-attention, then feed-forward. With a causal mask it is the block of a GPT.

    Parameters
    ----------
    d_model, num_heads, d_ff : int
        D, H and the inner width of the feed-forward network.
    norm : "pre" or "post"
        See the module's header.
    dropout : float
        On attention weights, inner activations and on what each sub-layer adds.
    activation : "relu", "gelu" or "gelu_tanh"
    norm_eps : float
        Of the layer norms.
    rotary : RotaryPositions, optional
        Turns queries and keys; blocks may share it.

    Raises
    ------
    ValueError
        When a choice is unknown or D is not a multiple of H.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        norm: Norm = "pre",
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm_eps: float = 1e-5,
        rotary: RotaryPositions | None = None,
    ) -> None:
        super().__init__()
        self.attention = (
            MultiHeadAttention(d_model, num_heads, dropout=dropout)
            if rotary is None
            else RotaryAttention(d_model, num_heads, rotary, dropout=dropout)
        )
        self.feed_forward = FeedForward(d_model, d_ff, activation=activation, dropout=dropout)
        self.around_attention = Residual(d_model, norm, dropout, norm_eps)
        self.around_feed_forward = Residual(d_model, norm, dropout, norm_eps)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, ...] | None = None,
        cache: KeyValueCache | None = None,
        *,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B H T K"] | None]:
        """Read all positions.

        Parameters
        ----------
        x : Float "B T D"
        mask, cache, need_weights
            As in `MultiHeadAttention.forward`.

        Returns
        -------
        output : Float "B T D"
        weights : Float "B H T K" or None
            K counts the positions in the cache too.
        """
        y = self.around_attention.read(x)
        y, weights = self.attention(y, y, y, mask, cache, need_weights=need_weights)
        x = self.around_attention.add(x, y)
        y = self.feed_forward(self.around_feed_forward.read(x))
        return self.around_feed_forward.add(x, y), weights


class DecoderCache(NamedTuple):
    """What a `DecoderBlock` keeps while a sequence is written: its own keys, and the memory's."""

    own: KeyValueCache
    memory: KeyValueCache


class DecoderBlock(nn.Module):
    """Masked self-attention, attention to the encoder's memory, then feed-forward.

    Parameters
    ----------
    d_model, num_heads, d_ff, norm, dropout, activation, norm_eps
        As in `EncoderBlock`.

    Raises
    ------
    ValueError
        As in `EncoderBlock`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        norm: Norm = "pre",
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, dropout=dropout)
        self.cross_attention = MultiHeadAttention(d_model, num_heads, dropout=dropout)
        self.feed_forward = FeedForward(d_model, d_ff, activation=activation, dropout=dropout)
        self.around_attention = Residual(d_model, norm, dropout, norm_eps)
        self.around_cross_attention = Residual(d_model, norm, dropout, norm_eps)
        self.around_feed_forward = Residual(d_model, norm, dropout, norm_eps)

    @staticmethod
    def new_cache() -> DecoderCache:
        """An empty cache, for one batch."""
        return DecoderCache(KeyValueCache(), KeyValueCache(fixed=True))

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B S D"],
        mask: Bool[Tensor, ...] | None = None,
        memory_mask: Bool[Tensor, ...] | None = None,
        cache: DecoderCache | None = None,
        *,
        need_weights: bool = True,
    ) -> tuple[
        Float[Tensor, "B T D"], Float[Tensor, "B H T K"] | None, Float[Tensor, "B H T S"] | None
    ]:
        """Read all positions, and look at the memory from each.

        Parameters
        ----------
        x, memory : Float "B T D", "B S D"
            Of the target; the encoder's output.
        mask, memory_mask : Bool, optional
            Broadcast to "B H T K" and "B H T S"; True = may attend.
        cache : DecoderCache, optional
            From `new_cache`; the memory is projected at the first step only.
        need_weights : bool
            As in `MultiHeadAttention.forward`.

        Returns
        -------
        output : Float "B T D"
        weights, cross_weights : Float "B H T K", "B H T S", or None
            K counts the positions in the cache too.
        """
        own, fixed = cache or (None, None)
        y = self.around_attention.read(x)
        y, weights = self.attention(y, y, y, mask, own, need_weights=need_weights)
        x = self.around_attention.add(x, y)
        y = self.around_cross_attention.read(x)
        y, cross_weights = self.cross_attention(
            y, memory, memory, memory_mask, fixed, need_weights=need_weights
        )
        x = self.around_cross_attention.add(x, y)
        y = self.feed_forward(self.around_feed_forward.read(x))
        return self.around_feed_forward.add(x, y), weights, cross_weights
