"""The transformer: an encoder reads a sentence at once, a decoder writes its translation.

Source: Vaswani et al. 2017, Attention Is All You Need. Differences from the paper, each a choice of
the configuration: layer norm before the sub-layers (`norm="post"` is the paper's), one embedding
for the target words and the output layer (`tie="all"` is the paper's). Dropout acts on attention
weights and inside the feed-forward network too, as in torch.nn.Transformer.

Axis letters: B batch, S source length, T target length, V target vocabulary, D model width, L
layers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.blocks import Activation, DecoderBlock, DecoderCache, EncoderBlock, Norm
from course_utils.decoding import Hypotheses, search
from course_utils.embeddings import LearnedPositions, SinusoidalPositions
from course_utils.masks import attention_mask, causal_mask


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Sizes and choices of an `EncoderDecoder`.

    Parameters
    ----------
    source_vocab, target_vocab : int
        Sizes of the vocabularies.
    d_model, num_heads, d_ff : int
        D, H and the inner width of the feed-forward networks; D is a multiple of H.
    num_encoder_layers, num_decoder_layers : int
        L of both stacks.
    max_length : int
        Longest source and target; the positions' tables are this long.
    dropout : float
        0 to 1; on embeddings and in the blocks.
    norm : "pre" or "post"
        See `course_utils.blocks`.
    activation : "relu", "gelu" or "gelu_tanh"
        Of the feed-forward networks.
    positions : "sinusoidal", "learned" or None
        None: the encoder cannot tell one order of the words from another.
    tie : "all", "target" or None
        Which matrices are one: both embeddings and the output layer, the target's embedding and
        the output layer, or none.
    causal : bool
        False lets the decoder see the words that it is to say: an experiment, not a translator.
    pad_id, bos_id, eos_id : int
        Special tokens.

    Raises
    ------
    ValueError
        When a choice is unknown, or sizes do not fit.
    """

    source_vocab: int
    target_vocab: int
    d_model: int = 96
    num_heads: int = 4
    d_ff: int = 192
    num_encoder_layers: int = 2
    num_decoder_layers: int = 2
    max_length: int = 512
    dropout: float = 0.1
    norm: Norm = "pre"
    activation: Activation = "relu"
    positions: Literal["sinusoidal", "learned"] | None = "sinusoidal"
    tie: Literal["all", "target"] | None = "target"
    causal: bool = True
    pad_id: int = 0
    bos_id: int = 1
    eos_id: int = 2

    def __post_init__(self) -> None:
        choices = {
            "norm": get_args(Norm),
            "activation": get_args(Activation),
            "positions": ("sinusoidal", "learned", None),
            "tie": ("all", "target", None),
        }
        for name, known in choices.items():
            if (got := getattr(self, name)) not in known:
                raise ValueError(f"{name} is one of {known}, got {got!r}")
        if self.num_heads < 1 or self.d_model % self.num_heads:
            raise ValueError(
                "d_model is a multiple of num_heads, "
                f"got d_model={self.d_model}, num_heads={self.num_heads}"
            )
        if self.tie == "all" and self.source_vocab != self.target_vocab:
            raise ValueError(
                'tie="all" is for one vocabulary of both languages, '
                f"got sizes {self.source_vocab} and {self.target_vocab}"
            )

    def block_choices(self) -> dict[str, Any]:
        """Arguments of every block."""
        names = ("d_model", "num_heads", "d_ff", "norm", "dropout", "activation")
        return {name: getattr(self, name) for name in names}

    def make_positions(self) -> nn.Module | None:
        """The table that `positions` names."""
        if self.positions == "sinusoidal":
            return SinusoidalPositions(self.d_model, self.max_length)
        if self.positions == "learned":
            return LearnedPositions(self.d_model, self.max_length)
        return None


class Memory(NamedTuple):
    """What the encoder makes of a batch of sentences, and where it is real."""

    states: Float[Tensor, "B S D"]
    mask: Bool[Tensor, "B S"]


class Attentions(NamedTuple):
    """Attention weights of every layer and head.

    Parameters
    ----------
    encoder : Float "B L H S S"
        Source words to source words.
    decoder : Float "B L H T T"
        Target words to target words up to themselves.
    cross : Float "B L H T S"
        Target words to source words.
    """

    encoder: Float[Tensor, "B L H S S"]
    decoder: Float[Tensor, "B L H T T"]
    cross: Float[Tensor, "B L H T S"]


class EncoderDecoder(nn.Module):
    """The transformer of the paper.

    Parameters
    ----------
    config : EncoderDecoderConfig

    References
    ----------
    Vaswani et al. 2017, section 3, figure 1.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.target_embedding = nn.Embedding(c.target_vocab, c.d_model, padding_idx=c.pad_id)
        self.source_embedding = self.output = None
        if c.tie != "all":
            self.source_embedding = nn.Embedding(c.source_vocab, c.d_model, padding_idx=c.pad_id)
        if c.tie is None:
            self.output = nn.Linear(c.d_model, c.target_vocab, bias=False)
        self.source_positions, self.target_positions = c.make_positions(), c.make_positions()
        blocks = c.block_choices()
        self.encoder = nn.ModuleList(EncoderBlock(**blocks) for _ in range(c.num_encoder_layers))
        self.decoder = nn.ModuleList(DecoderBlock(**blocks) for _ in range(c.num_decoder_layers))
        # Nothing has normalised what comes out of a stack with the norms inside.
        self.encoder_norm = nn.LayerNorm(c.d_model) if c.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(c.d_model) if c.norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(c.dropout)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, nn.Embedding):
                # Multiplied by √D its numbers are of size 1; as an output layer its logits are.
                nn.init.normal_(module.weight, std=self.config.d_model**-0.5)
                with torch.no_grad():
                    module.weight[self.config.pad_id] = 0.0

    def encode(self, source: Int[Tensor, "B S"], source_mask: Bool[Tensor, "B S"]) -> Memory:
        """Read source sentences.

        Parameters
        ----------
        source : Int "B S"
            Ids.
        source_mask : Bool "B S"
            True = a real word.

        Raises
        ------
        ValueError
            When the mask does not fit, a sentence is empty or longer than the positions' table.
        """
        return self._read(source, source_mask, need_weights=False)[0]

    def decode(
        self,
        target_input: Int[Tensor, "B T"],
        memory: Memory,
        cache: list[DecoderCache] | None = None,
        *,
        need_weights: bool = False,
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T S"] | None]:
        """Score the next word after each word of `target_input`.

        Parameters
        ----------
        target_input : Int "B T"
            Ids; with a cache the words after those that it holds.
        memory : Memory
            From `encode`.
        cache : list of DecoderCache, optional
            From `new_cache`; changed in place.
        need_weights : bool
            Give the attention too, which costs time.

        Returns
        -------
        logits : Float "B T V"
        weights : Float "B T S" or None
            Attention to the source in the last layer, the mean of its heads.
        """
        logits, _, cross = self._write(target_input, memory, cache, need_weights=need_weights)
        return logits, cross[-1].mean(dim=1) if need_weights else None

    def forward(
        self,
        source: Int[Tensor, "B S"],
        source_mask: Bool[Tensor, "B S"],
        target_input: Int[Tensor, "B T"],
        *,
        need_weights: bool = False,
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T S"] | None]:
        """Teacher forcing: read the sources and the right beginnings of the targets.

        Returns
        -------
        logits, weights
            As `decode`.
        """
        memory = self.encode(source, source_mask)
        return self.decode(target_input, memory, need_weights=need_weights)

    def attentions(
        self,
        source: Int[Tensor, "B S"],
        source_mask: Bool[Tensor, "B S"],
        target_input: Int[Tensor, "B T"],
    ) -> Attentions:
        """The weights of every layer and head under teacher forcing."""
        memory, encoder = self._read(source, source_mask, need_weights=True)
        _, decoder, cross = self._write(target_input, memory, None, need_weights=True)
        return Attentions(*(torch.stack(layers, dim=1) for layers in (encoder, decoder, cross)))

    def new_cache(self) -> list[DecoderCache]:
        """An empty cache for one batch."""
        return [block.new_cache() for block in self.decoder]

    @torch.no_grad()
    def generate(
        self,
        source: Int[Tensor, "B S"],
        source_mask: Bool[Tensor, "B S"],
        *,
        max_length: int = 50,
        num_beams: int = 1,
        length_penalty: float = 0.0,
        cached: bool = True,
    ) -> Hypotheses:
        """Translate: every word is chosen by the model itself.

        Parameters
        ----------
        source, source_mask
            As in `encode`.
        max_length : int
            Most tokens of a translation, the end token included.
        num_beams : int
            1 is greedy search.
        length_penalty : float
            See `course_utils.decoding.beam_search`.
        cached : bool
            False reads all words again for each new one: the same translation, later.
        """
        memory = self.encode(source, source_mask)
        start = torch.full((len(source),), self.config.bos_id, device=source.device)

        def step(tokens: Tensor, state: tuple) -> tuple[Tensor, tuple]:
            past, memory = state
            if cached:
                return self.decode(tokens[:, None], memory, past)[0][:, -1], (past, memory)
            past = torch.cat([past, tokens[:, None]], dim=1)
            return self.decode(past, memory)[0][:, -1], (past, memory)

        state = (self.new_cache() if cached else start[:, None][:, :0], memory)
        return search(
            step,
            start,
            state,
            eos_id=self.config.eos_id,
            max_length=max_length,
            num_beams=num_beams,
            length_penalty=length_penalty,
        )

    def _read(
        self, source: Tensor, source_mask: Tensor, *, need_weights: bool
    ) -> tuple[Memory, list[Tensor | None]]:
        self._check_source(source, source_mask)
        embedding = self.source_embedding or self.target_embedding
        x = self._embed(source, embedding, self.source_positions)
        mask, weights = attention_mask(source_mask), []
        for block in self.encoder:
            x, layer = block(x, mask, need_weights=need_weights)
            weights.append(layer)
        return Memory(self.encoder_norm(x), source_mask), weights

    def _write(
        self, target: Tensor, memory: Memory, cache: list | None, *, need_weights: bool
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:
        if len(target) != len(memory.states):
            raise ValueError(f"{len(memory.states)} sources cannot have {len(target)} targets")
        past = cache[0].own.length if cache else 0
        x = self._embed(target, self.target_embedding, self.target_positions, past)
        mask, weights, cross_weights = None, [], []
        if self.config.causal and target.shape[1] > 1:  # one word sees itself and what was before
            mask = causal_mask(target.shape[1], target.device, offset=past)
        memory_mask = attention_mask(memory.mask)
        for layer, block in enumerate(self.decoder):
            own = cache[layer] if cache else None
            x, to_target, to_source = block(
                x, memory.states, mask, memory_mask, own, need_weights=need_weights
            )
            weights.append(to_target)
            cross_weights.append(to_source)
        output = self.target_embedding if self.output is None else self.output
        return F.linear(self.decoder_norm(x), output.weight), weights, cross_weights

    def _embed(
        self, ids: Tensor, embedding: nn.Embedding, positions: nn.Module | None, offset: int = 0
    ) -> Tensor:
        x = embedding(ids) * self.config.d_model**0.5
        return self.dropout(x if positions is None else positions(x, offset))

    def _check_source(self, source: Tensor, mask: Tensor) -> None:
        if source.shape != mask.shape:
            raise ValueError(
                f"source_mask has source's shape {tuple(source.shape)}, got {tuple(mask.shape)}"
            )
        if mask.dtype != torch.bool:
            raise TypeError(f"source_mask is boolean (True = a real word), got {mask.dtype}")
        if not len(source):
            raise ValueError("an empty batch cannot be encoded: it has no sentence")
        if not mask.any(dim=1).all():
            raise ValueError("a sentence is empty: source_mask has a row without a real word")
