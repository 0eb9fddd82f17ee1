"""BERT: a stack of transformer blocks that sees the whole text, and fills gaps in it.

The architecture is that of BERT's pre-training, exactly; `course_utils.pretrained` opens its
checkpoints. From text to answers: ids; their vectors, plus those of their positions and segments,
normed; the blocks (self-attention over all real tokens, norm, feed-forward with a GELU, norm). On
what comes out stand two heads: one says for a token which word stands there (dense layer, GELU,
norm, scores against the vectors of the words), one looks at the first token, [CLS], through the
pooler, and says whether the second segment follows the first.

Sources: Devlin et al. 2019, BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding, section 3; for `positions="rotary"` Su et al. 2021, RoFormer.

Axis letters: B batch, T length, V vocabulary, D model width, L layers, H heads, N places that are
asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.blocks import EncoderBlock
from course_utils.embeddings import RotaryPositions
from course_utils.masks import attention_mask

Positions = Literal["learned", "rotary"]


@dataclass(frozen=True, kw_only=True)
class BERTConfig:
    """Sizes and choices of a `BERT`.

    Parameters
    ----------
    vocab_size : int
        V.
    block_size : int
        Most tokens of a text; the table of positions is this long.
    num_layers, num_heads, d_model : int
        L, H and D; D is a multiple of H.
    d_ff : int, optional
        Inner width of the feed-forward networks, 4 * D by default.
    dropout : float
        0 to 1; on embeddings, attention weights and on what each sub-layer adds.
    num_segments : int
        Kinds of segments: 2 for pairs of sentences.
    norm_eps : float
        Of the layer norms.
    positions : "learned" or "rotary"
        A vector for each position, added to the words', which is BERT; or queries and keys turned
        by their positions in every layer, which learns sooner and has no checkpoints elsewhere.

    Raises
    ------
    ValueError
        When a size is below 1, D is no multiple of H, the dropout is not from 0 to 1, or the
        positions are of no known kind or do not go with the width.

    Examples
    --------
    >>> sizes = {"vocab_size": 30522, "block_size": 512, "d_model": 768}  # BERT base
    >>> f"{BERTConfig(**sizes, num_layers=12, num_heads=12).parameter_count():,} parameters"
    '110,106,428 parameters'
    """

    vocab_size: int
    block_size: int
    num_layers: int
    num_heads: int
    d_model: int
    d_ff: int | None = None
    dropout: float = 0.1
    num_segments: int = 2
    norm_eps: float = 1e-12
    positions: Positions = "learned"

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "block_size", "num_layers", "num_heads", "d_model", "num_segments")
        for name in (*sizes, "inner"):
            if (got := getattr(self, name)) < 1:
                raise ValueError(f"{name} is 1 or more, got {got}")
        if self.d_model % self.num_heads:
            raise ValueError(
                "d_model is a multiple of num_heads, "
                f"got d_model={self.d_model}, num_heads={self.num_heads}"
            )
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout is a share from 0 to 1, got {self.dropout}")
        if self.positions not in get_args(Positions):
            raise ValueError(f'positions are "learned" or "rotary", got {self.positions!r}')
        if self.positions == "rotary" and self.d_model // self.num_heads % 2:
            raise ValueError(
                "rotary positions turn pairs of numbers: d_model / num_heads is even, "
                f"got {self.d_model} / {self.num_heads}"
            )

    @property
    def inner(self) -> int:
        """Width between the two layers of a feed-forward network."""
        return 4 * self.d_model if self.d_ff is None else self.d_ff

    def parameter_count(self) -> int:
        """Learned numbers of the model with both heads, without building it."""
        d, inner = self.d_model, self.inner
        dense, norm = d * d + d, 2 * d
        block = 4 * dense + (d * inner + inner) + (inner * d + d) + 2 * norm
        table = self.block_size if self.positions == "learned" else 0
        embeddings = (self.vocab_size + table + self.num_segments) * d + norm
        heads = (dense + norm + self.vocab_size) + (dense + 2 * d + 2)  # words; pooler and pairs
        return embeddings + self.num_layers * block + heads


class BERTOutput(NamedTuple):
    """What a `BERT` says about a batch.

    Attributes
    ----------
    hidden : Float "B T D"
        The last layer: a vector for each token in its context.
    mlm_logits : Float "B T V", or "N V" for N places
        Which word stands there.
    nsp_logits : Float "B 2"
        Column 0: the second segment follows the first; column 1: it comes from elsewhere.
    """

    hidden: Float[Tensor, "B T D"]
    mlm_logits: Float[Tensor, "*N V"]
    nsp_logits: Float[Tensor, "B 2"]


class BERTEncoder(nn.Module):
    """BERT without its heads: from ids to a vector for each token.

    Parameters
    ----------
    config : BERTConfig
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = c = config
        self.words = nn.Embedding(c.vocab_size, c.d_model)
        self.segments = nn.Embedding(c.num_segments, c.d_model)
        learned = c.positions == "learned"
        self.positions = nn.Embedding(c.block_size, c.d_model) if learned else None
        rotary = None if learned else RotaryPositions(c.d_model // c.num_heads, c.block_size)
        self.norm = nn.LayerNorm(c.d_model, eps=c.norm_eps)
        self.dropout = nn.Dropout(c.dropout)
        choices = {"dropout": c.dropout, "activation": "gelu", "norm_eps": c.norm_eps}
        self.blocks = nn.ModuleList(
            EncoderBlock(c.d_model, c.num_heads, c.inner, norm="post", rotary=rotary, **choices)
            for _ in range(c.num_layers)
        )
        for block in self.blocks:
            block.feed_forward.dropout.p = 0.0  # BERT drops what is added, not what is inside
        self.apply(initialise)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Read texts; parameters and errors are those of `BERT.forward`."""
        return self._read(ids, segment_ids, padding_mask, None)

    def attentions(
        self,
        ids: Int[Tensor, "B T"],
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B L H T T"]:
        """Give the attention weights of every layer and head; padding gets none."""
        weights: list[Tensor] = []
        self._read(ids, segment_ids, padding_mask, weights)
        return torch.stack(weights, dim=1)

    def _read(
        self, ids: Tensor, segments: Tensor | None, mask: Tensor | None, weights: list | None
    ) -> Tensor:
        """Go through all layers; put the attention into the list `weights`."""
        _check_ids(ids, self.config.block_size)
        x, allowed = self._embed(ids, segments), None
        if mask is not None:
            _check_flags("padding_mask", mask, ids.shape, "a real token")
            allowed = attention_mask(mask)
        for block in self.blocks:
            x, weight = block(x, allowed, need_weights=weights is not None)
            if weights is not None:
                weights.append(weight)
        return x

    def _embed(self, ids: Tensor, segments: Tensor | None) -> Tensor:
        x = _look_up(self.words, ids, "ids", "do tokenizer and model belong together?")
        if segments is None:
            x = x + self.segments.weight[0]
        else:
            _check_shape("segment_ids", segments, ids.shape)
            hint = "0 for the first sentence, 1 for the second"
            x = x + _look_up(self.segments, segments, "segment_ids", hint)
        if self.positions is not None:
            x = x + self.positions.weight[: ids.shape[1]]
        return self.dropout(self.norm(x))


class BERT(nn.Module):
    """BERT with the heads of its pre-training.

    Parameters
    ----------
    config : BERTConfig

    References
    ----------
    Devlin et al. 2019, section 3.

    Examples
    --------
    >>> sizes = {"vocab_size": 9, "block_size": 4, "num_layers": 1, "num_heads": 2, "d_model": 8}
    >>> output = BERT(BERTConfig(**sizes))(torch.tensor([[2, 4, 5, 3]]))
    >>> output.hidden.shape, output.mlm_logits.shape, output.nsp_logits.shape
    (torch.Size([1, 4, 8]), torch.Size([1, 4, 9]), torch.Size([1, 2]))
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = c = config
        self.encoder = BERTEncoder(c)
        self.pooler = nn.Linear(c.d_model, c.d_model)
        self.mlm_dense = nn.Linear(c.d_model, c.d_model)
        self.mlm_norm = nn.LayerNorm(c.d_model, eps=c.norm_eps)
        self.mlm_bias = nn.Parameter(torch.zeros(c.vocab_size))  # the matrix is that of the words
        self.nsp = nn.Linear(c.d_model, 2)
        for layer in (self.pooler, self.mlm_dense, self.nsp):
            initialise(layer)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
        *,
        places: Bool[Tensor, "B T"] | None = None,
    ) -> BERTOutput:
        """Read texts, and say for each place which word stands there.

        Parameters
        ----------
        ids : Int "B T"
            0 to V - 1; texts begin with [CLS].
        segment_ids : Int "B T", optional
            0 for the first sentence of a pair, 1 for the second; all 0 by default.
        padding_mask : Bool "B T", optional
            True = a real token. Padding stands on the right. Elsewhere it is left out as well, but
            learned positions count it, and [CLS] must stay first for the pooler.
        places : Bool "B T", optional
            True = a place that is asked about. The layer of the output, the largest, is computed
            only there: so training on masked words takes a fraction of the time.

        Returns
        -------
        BERTOutput
            With `places` the words' logits are "N V", row by row in the order of `places.nonzero`.
            What stands at padding means nothing.

        Raises
        ------
        ValueError, TypeError
            When there is no text or no token, a text is longer than `block_size`, an id or a
            segment is out of range, or a mask does not fit.
        """
        hidden = self.encoder(ids, segment_ids, padding_mask)
        if places is not None:
            _check_flags("places", places, ids.shape, "a place that is asked about")
        asked = hidden if places is None else hidden[places]
        return BERTOutput(hidden, self.score(asked), self.nsp(pool(self.pooler, hidden)))

    def score(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Logits of the words, from vectors of the last layer."""
        x = self.mlm_norm(F.gelu(self.mlm_dense(hidden)))
        return F.linear(x, self.encoder.words.weight, self.mlm_bias)

    def attentions(
        self,
        ids: Int[Tensor, "B T"],
        segment_ids: Int[Tensor, "B T"] | None = None,
        padding_mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B L H T T"]:
        """Give the attention weights of every layer and head; padding gets none."""
        return self.encoder.attentions(ids, segment_ids, padding_mask)


def pool(pooler: nn.Linear, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
    """One vector for each text: `tanh` of a dense layer on its first token, [CLS]."""
    return torch.tanh(pooler(hidden[:, 0]))


def initialise(module: nn.Module) -> None:
    """BERT's first values."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


# ---- what a batch must be


def _check_ids(ids: Tensor, block_size: int) -> None:
    if not ids.numel():
        raise ValueError(f"a batch has a text and a token at least, got ids {tuple(ids.shape)}")
    if ids.shape[1] > block_size:
        raise ValueError(
            f"a text of {ids.shape[1]} tokens is longer than block_size={block_size}: cut it, or "
            "build the model with a larger block_size"
        )


def _look_up(table: nn.Embedding, ids: Tensor, what: str, hint: str) -> Tensor:
    try:
        return table(ids)
    except IndexError as error:
        low, high = ids.aminmax()
        raise ValueError(
            f"{what} are 0 to {len(table.weight) - 1}, got {low.item()} to {high.item()}: {hint}"
        ) from error


def _check_shape(what: str, got: Tensor, shape: torch.Size) -> None:
    if got.shape != shape:
        raise ValueError(
            f"{what} have one entry for each token: {tuple(shape)}, got {tuple(got.shape)}"
        )


def _check_flags(what: str, mask: Tensor, shape: torch.Size, meaning: str) -> None:
    if mask.dtype != torch.bool:
        raise TypeError(f"{what} is boolean (True = {meaning}), got {mask.dtype}")
    _check_shape(what, mask, shape)
