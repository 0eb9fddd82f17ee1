"""Attention: scores of queries against keys, and the weighted sum of values.

Scores say how well a query and a key fit; `attend` turns them into weights and a context.
Sources: Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and
Translate; Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation;
Vaswani et al. 2017, Attention Is All You Need.

Axis letters: B batch, H heads, Tq number of queries, Tk number of keys, D model width, Dq, Dk, Dv,
A widths of queries, keys, values and of the hidden layer of the additive score.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.cache import KeyValueCache
from course_utils.masks import check_mask


def dot_score(
    query: Float[Tensor, "B Tq D"], key: Float[Tensor, "B Tk D"]
) -> Float[Tensor, "B Tq Tk"]:
    """Score by the dot product, `query · key`: both must have the same width.

    Raises
    ------
    ValueError
        When the widths differ.

    Examples
    --------
    >>> dot_score(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])).tolist()
    [[[11.0, 2.0]]]
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"a dot product needs equal widths, got query {tuple(query.shape)} and key "
            f"{tuple(key.shape)}; BilinearScore compares vectors of different widths"
        )
    return query @ key.transpose(-2, -1)


class DotScore(nn.Module):
    """`dot_score` as a module, so that the score functions can be exchanged."""

    def project_keys(self, key: Float[Tensor, "B Tk D"]) -> Float[Tensor, "B Tk D"]:
        """The part of the score that depends on the keys alone."""
        return key

    def compare(
        self, query: Float[Tensor, "B Tq D"], projected: Float[Tensor, "B Tk D"]
    ) -> Float[Tensor, "B Tq Tk"]:
        """Scores against keys that went through `project_keys`."""
        return dot_score(query, projected)

    def forward(
        self, query: Float[Tensor, "B Tq D"], key: Float[Tensor, "B Tk D"]
    ) -> Float[Tensor, "B Tq Tk"]:
        """Scores of every query against every key."""
        return self.compare(query, self.project_keys(key))


class LearnedScore(DotScore):
    """What the scores with weights share: queries and keys of two widths, which are checked."""

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__()
        self.query_dim, self.key_dim = query_dim, key_dim

    def forward(
        self, query: Float[Tensor, "B Tq Dq"], key: Float[Tensor, "B Tk Dk"]
    ) -> Float[Tensor, "B Tq Tk"]:
        """Scores of every query against every key.

        Raises
        ------
        ValueError
            When a width is not the one given at construction.
        """
        if query.shape[-1] != self.query_dim or key.shape[-1] != self.key_dim:
            raise ValueError(
                f"{type(self).__name__} takes queries of width {self.query_dim} and keys of width "
                f"{self.key_dim}, got query {tuple(query.shape)} and key {tuple(key.shape)}"
            )
        return self.compare(query, self.project_keys(key))


class BilinearScore(LearnedScore):
    """Score by a learned matrix, `queryᵀ W key` (Luong's "general" score).

    Parameters
    ----------
    query_dim, key_dim : int
        Widths; they may differ.

    References
    ----------
    Luong et al. 2015, section 3.1.
    """

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        self.weight = nn.Linear(key_dim, query_dim, bias=False)

    def project_keys(self, key: Float[Tensor, "B Tk Dk"]) -> Float[Tensor, "B Tk Dq"]:
        """`W key`: computed once for all queries."""
        return self.weight(key)


class AdditiveScore(LearnedScore):
    """Score by a small network, `wᵀ tanh(U query + V key)` (Bahdanau's score).

    Parameters
    ----------
    query_dim, key_dim : int
        Widths; they may differ.
    hidden_dim : int
        A, the width of the tanh layer.

    References
    ----------
    Bahdanau et al. 2015, appendix A.1.2 (there `v_a`, `W_a`, `U_a`).
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        self.query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.key = nn.Linear(key_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1, bias=False)

    def project_keys(self, key: Float[Tensor, "B Tk Dk"]) -> Float[Tensor, "B Tk A"]:
        """`V key`: computed once for all queries."""
        return self.key(key)

    def compare(
        self, query: Float[Tensor, "B Tq Dq"], projected: Float[Tensor, "B Tk A"]
    ) -> Float[Tensor, "B Tq Tk"]:
        """Scores against keys that went through `project_keys`."""
        hidden = torch.tanh(self.query(query)[:, :, None] + projected[:, None])  # B Tq Tk A
        return self.score(hidden).squeeze(-1)


def masked_softmax(
    scores: Float[Tensor, "*N Tq Tk"], mask: Bool[Tensor, ...] | None = None
) -> Float[Tensor, "*N Tq Tk"]:
    """Softmax over the keys that a query may attend to.

    Parameters
    ----------
    scores : Float "... Tq Tk"
        Any real numbers.
    mask : Bool, broadcast to the shape of `scores`, optional
        True = may attend. Keys with False get weight 0; a query with no key left gets zeros
        everywhere, not NaN.

    Raises
    ------
    TypeError
        When the mask is not boolean.
    ValueError
        When the mask does not broadcast to the scores.
    """
    if mask is None:
        return scores.softmax(dim=-1)
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is boolean (True = may attend), got {mask.dtype}")
    try:
        mask = mask.expand_as(scores)
    except RuntimeError as error:
        raise ValueError(
            f"a mask must broadcast to the scores {tuple(scores.shape)}, got {tuple(mask.shape)}; "
            "a mask of the keys, B Tk, needs a query axis: mask[:, None, :]"
        ) from error
    # The most negative finite number, not -inf: a row of -inf only would become NaN.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1).masked_fill(~mask, 0.0)


def attend(
    scores: Float[Tensor, "B Tq Tk"],
    values: Float[Tensor, "B Tk Dv"],
    mask: Bool[Tensor, ...] | None = None,
) -> tuple[Float[Tensor, "B Tq Dv"], Float[Tensor, "B Tq Tk"]]:
    """Weigh the values by the softmax of the scores.

    Parameters
    ----------
    scores : Float "B Tq Tk"
        From a score function.
    values : Float "B Tk Dv"
        What is summed.
    mask : Bool, broadcast to "B Tq Tk", optional
        True = may attend; a fully masked query gets zeros.

    Returns
    -------
    context : Float "B Tq Dv"
        One weighted sum per query.
    weights : Float "B Tq Tk"
        Not negative; each row sums to 1 (to 0 where everything is masked).

    Raises
    ------
    ValueError, TypeError
        When shapes do not fit or the mask is not boolean.

    References
    ----------
    Bahdanau et al. 2015, equations 5 and 6.

    Examples
    --------
    >>> values = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> mask = torch.tensor([[[True, True, False]]])
    >>> context, weights = attend(torch.zeros(1, 1, 3), values, mask)
    >>> context.tolist(), weights.tolist()
    ([[[2.0]]], [[[0.5, 0.5, 0.0]]])
    """
    if scores.shape[-1] != values.shape[-2]:
        raise ValueError(
            f"every key has its value: scores {tuple(scores.shape)} have {scores.shape[-1]} keys, "
            f"values {tuple(values.shape)} are {values.shape[-2]}"
        )
    weights = masked_softmax(scores, mask)
    return weights @ values, weights


def scaled_dot_product(
    query: Float[Tensor, "*N Tq D"],
    key: Float[Tensor, "*N Tk D"],
    value: Float[Tensor, "*N Tk Dv"],
    mask: Bool[Tensor, ...] | None = None,
    *,
    dropout: float = 0.0,
    scale: float | None = None,
    need_weights: bool = True,
) -> tuple[Float[Tensor, "*N Tq Dv"], Float[Tensor, "*N Tq Tk"] | None]:
    """`softmax(query keyᵀ / √D) value`, and the weights that made it.

    Parameters
    ----------
    query, key, value : Float "... Tq D", "... Tk D", "... Tk Dv"
    mask : Bool, broadcast to "... Tq Tk", optional
        True = may attend; a fully masked query gets zeros.
    dropout : float
        Share of the weights that is left out of the sum.
    scale : float, optional
        Factor on the scores, 1/√D by default.
    need_weights : bool
        False: torch's fused kernel, which never holds all weights; they are None then.

    Returns
    -------
    output, weights : Float "... Tq Dv", "... Tq Tk"
        Weights are those before dropout: each row sums to 1 (to 0 where everything is masked).

    Raises
    ------
    ValueError, TypeError
        When shapes do not fit or the mask is not boolean.

    References
    ----------
    Vaswani et al. 2017, equation 1.

    Examples
    --------
    >>> query, key = torch.tensor([[0.0, 2.0]]), torch.tensor([[5.0, 0.0], [-5.0, 0.0]])
    >>> output, weights = scaled_dot_product(query, key, torch.tensor([[1.0], [3.0]]))
    >>> output.tolist(), weights.tolist()
    ([[2.0]], [[0.5, 0.5]])
    """
    if query.shape[-1] != key.shape[-1] or key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            "queries and keys have equal widths and every key has its value, got query "
            f"{tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)}"
        )
    if mask is not None:
        check_mask(mask, (*query.shape[:-1], key.shape[-2]))
    if not need_weights:
        options = {"dropout_p": dropout, "scale": scale}
        return F.scaled_dot_product_attention(query, key, value, mask, **options), None
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    weights = masked_softmax((query * scale) @ key.transpose(-2, -1), mask)
    return F.dropout(weights, dropout) @ value, weights


class MultiHeadAttention(nn.Module):
    """Several scaled dot-product attentions side by side, each in its own part of the width.

    Parameters
    ----------
    d_model : int
        D, width of queries, keys, values and output.
    num_heads : int
        H; each head is D / H wide.
    dropout : float
        On the weights, in training.
    bias : bool
        Of the four projections `query`, `key`, `value`, `output`.

    Raises
    ------
    ValueError
        When D is not a multiple of H.

    References
    ----------
    Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(
        self, d_model: int, num_heads: int, *, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(
                f"d_model is a multiple of num_heads, got d_model={d_model}, num_heads={num_heads}"
            )
        self.num_heads, self.dropout = num_heads, dropout
        self.scale = (d_model // num_heads) ** -0.5
        self.query = nn.Linear(d_model, d_model, bias=bias)
        self.key = nn.Linear(d_model, d_model, bias=bias)
        self.value = nn.Linear(d_model, d_model, bias=bias)
        self.output = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self,
        query: Float[Tensor, "B Tq D"],
        key: Float[Tensor, "B Tk D"],
        value: Float[Tensor, "B Tk D"],
        mask: Bool[Tensor, ...] | None = None,
        cache: KeyValueCache | None = None,
        *,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "B Tq D"], Float[Tensor, "B H Tq Ta"] | None]:
        """Attend: every query takes its own mixture of the values, in each head.

        Parameters
        ----------
        query, key, value : Float "B Tq D", "B Tk D", "B Tk D"
        mask : Bool, broadcast to "B H Tq Tk", optional
            True = may attend. With a cache Tk counts all keys, old and new.
        cache : KeyValueCache, optional
            Its keys and values come before the new ones, which join it; one that is complete
            takes the place of `key` and `value`.
        need_weights : bool
            As in `scaled_dot_product`.

        Raises
        ------
        ValueError, TypeError
            When shapes do not fit or the mask is not boolean.
        """
        queries = self._split(self.query(query))
        if cache is not None and cache.complete:
            keys, values = cache.read()
        else:
            keys, values = self._split(self.key(key)), self._split(self.value(value))
            if cache is not None:
                keys, values = cache.append(keys, values)
        options = {"dropout": self.dropout if self.training else 0.0, "scale": self.scale}
        options["need_weights"] = need_weights
        mixed, weights = scaled_dot_product(queries, keys, values, mask, **options)
        return self.output(mixed.transpose(1, 2).flatten(2)), weights  # B H T D/H -> B T D

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # B T D -> B H T D/H
