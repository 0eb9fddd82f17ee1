"""Sequence to sequence: one recurrent network reads a sentence, another writes its translation.

Sources: Sutskever et al. 2014; Bahdanau et al. 2015; Luong et al. 2015. Differences from the
papers, all for speed on small data: the output layer shares its weights with the target embedding
(Press and Wolf 2017), the readout is a tanh layer, Luong's input feeding is left out.

Axis letters: B batch, S source length, T target length, V target vocabulary, D decoder width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.attention import AdditiveScore, BilinearScore, DotScore
from course_utils.decoding import Hypotheses, search
from course_utils.recurrent import Memory, ParallelDecoder, RecurrentEncoder, StepwiseDecoder


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    """Sizes and choices of a `Seq2Seq`.

    Parameters
    ----------
    source_vocab, target_vocab : int
        Sizes of the vocabularies.
    d_embedding : int
        Width of both embeddings and of the readout.
    d_encoder : int
        Width of one direction of the encoder; the memory is twice as wide.
    d_hidden : int
        D, width of the decoder's state.
    attention : "additive", "bilinear", "dot" or None
        Score function; None is the model without attention.
    order : "bahdanau" or "luong"
        Attend before the recurrent step, or after it. Without attention only "luong" exists.
    dropout : float
        On embeddings and readout, 0 to 1.
    pad_id, bos_id, eos_id : int
        Special tokens.

    Raises
    ------
    ValueError
        When a choice is unknown, or sizes do not fit.
    """

    source_vocab: int
    target_vocab: int
    d_embedding: int = 128
    d_encoder: int = 64
    d_hidden: int = 128
    attention: Literal["additive", "bilinear", "dot"] | None = "additive"
    order: Literal["bahdanau", "luong"] = "bahdanau"
    dropout: float = 0.1
    pad_id: int = 0
    bos_id: int = 1
    eos_id: int = 2

    def __post_init__(self) -> None:
        if self.attention not in ("additive", "bilinear", "dot", None):
            raise ValueError(
                f'attention is "additive", "bilinear", "dot" or None, got {self.attention!r}'
            )
        if self.order not in ("bahdanau", "luong"):
            raise ValueError(f'order is "bahdanau" or "luong", got {self.order!r}')
        if self.attention is None and self.order == "bahdanau":
            raise ValueError(
                'without attention there is nothing to attend first: use order="luong"'
            )
        if self.attention == "dot" and self.d_hidden != 2 * self.d_encoder:
            raise ValueError(
                "the dot score needs d_hidden == 2 * d_encoder, "
                f"got {self.d_hidden} and 2 * {self.d_encoder}"
            )

    def make_score(self) -> nn.Module | None:
        """The score function that `attention` names."""
        memory = 2 * self.d_encoder
        if self.attention == "additive":
            return AdditiveScore(self.d_hidden, memory, self.d_hidden)
        if self.attention == "bilinear":
            return BilinearScore(self.d_hidden, memory)
        return DotScore() if self.attention == "dot" else None


class Seq2Seq(nn.Module):
    """Encoder and decoder with or without attention.

    Parameters
    ----------
    config : Seq2SeqConfig

    References
    ----------
    Bahdanau et al. 2015, section 3; Luong et al. 2015, section 3.
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = c = config
        self.source_embedding = nn.Embedding(c.source_vocab, c.d_embedding, padding_idx=c.pad_id)
        self.target_embedding = nn.Embedding(c.target_vocab, c.d_embedding, padding_idx=c.pad_id)
        self.encoder = RecurrentEncoder(c.d_embedding, c.d_encoder)
        self.bridge = nn.Linear(self.encoder.output_dim, c.d_hidden)
        decoder = StepwiseDecoder if c.order == "bahdanau" else ParallelDecoder
        self.decoder = decoder(
            c.d_embedding, c.d_hidden, self.encoder.output_dim, c.d_embedding, c.make_score()
        )
        self.output_bias = nn.Parameter(torch.zeros(c.target_vocab))
        self.dropout = nn.Dropout(c.dropout)
        for embedding in (self.source_embedding, self.target_embedding):
            # Small rows: the target's are the output layer too, whose first logits should be small.
            nn.init.normal_(embedding.weight, std=c.d_embedding**-0.5)
            with torch.no_grad():
                embedding.weight[c.pad_id] = 0.0

    def encode(
        self, source: Int[Tensor, "B S"], source_mask: Bool[Tensor, "B S"]
    ) -> tuple[Memory, Float[Tensor, "B D"]]:
        """Read source sentences.

        Parameters
        ----------
        source : Int "B S"
            Ids, padded on the right.
        source_mask : Bool "B S"
            True = may be read and attended to.

        Returns
        -------
        memory : Memory
            What the decoder may look at.
        state : Float "B D"
            State that the decoder begins with.

        Raises
        ------
        ValueError
            When the mask does not fit, is not one block on the left, or a sentence is empty.
        """
        self._check_source(source, source_mask)
        states, summary = self.encoder(self.dropout(self.source_embedding(source)), source_mask)
        score = self.decoder.score
        keys = states[:, :, :0] if score is None else score.project_keys(states)
        return Memory(states, keys, source_mask, summary), torch.tanh(self.bridge(summary))

    def decode(
        self, target_input: Int[Tensor, "B T"], state: Float[Tensor, "B D"], memory: Memory
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B D"], Float[Tensor, "B T S"] | None]:
        """Score the next word after each word of `target_input`.

        Returns
        -------
        logits : Float "B T V"
        state : Float "B D"
            State after the last word, to go on from.
        weights : Float "B T S" or None
            Attention; None for a model without.
        """
        embedded = self.dropout(self.target_embedding(target_input))
        readout, state, weights = self.decoder(embedded, state, memory)
        logits = self.dropout(readout) @ self.target_embedding.weight.T + self.output_bias
        return logits, state, weights

    def forward(
        self,
        source: Int[Tensor, "B S"],
        source_mask: Bool[Tensor, "B S"],
        target_input: Int[Tensor, "B T"],
        *,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, "B T S"] | None]:
        """Teacher forcing: read the sources and the right beginnings of the targets.

        Returns
        -------
        logits : Float "B T V"
            Scores of the word after each word of `target_input`.
        weights : Float "B T S" or None
            Attention of each step; None for a model without, or where it is not needed.
        """
        memory, state = self.encode(source, source_mask)
        logits, _, weights = self.decode(target_input, state, memory)
        return logits, weights if need_weights else None

    @torch.no_grad()
    def generate(
        self,
        source: Int[Tensor, "B S"],
        source_mask: Bool[Tensor, "B S"],
        *,
        max_length: int = 50,
        num_beams: int = 1,
        length_penalty: float = 0.0,
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
        """
        memory, hidden = self.encode(source, source_mask)
        start = torch.full((len(source),), self.config.bos_id, device=source.device)

        def step(tokens: Tensor, state: tuple) -> tuple[Tensor, tuple]:
            hidden, memory = state
            logits, hidden, _ = self.decode(tokens[:, None], hidden, memory)
            return logits[:, 0], (hidden, memory)

        return search(
            step,
            start,
            (hidden, memory),
            eos_id=self.config.eos_id,
            max_length=max_length,
            num_beams=num_beams,
            length_penalty=length_penalty,
        )

    def _check_source(self, source: Tensor, mask: Tensor) -> None:
        if source.shape != mask.shape:
            raise ValueError(
                f"source_mask has source's shape {tuple(source.shape)}, got {tuple(mask.shape)}"
            )
        if not len(source):
            raise ValueError("an empty batch cannot be encoded: it has no sentence")
        if mask.shape[1] == 0 or not mask[:, 0].all():
            raise ValueError("a sentence is empty, or its padding is on the left: pad on the right")
        if (mask[:, 1:] & ~mask[:, :-1]).any():
            raise ValueError("source_mask has a gap: real positions come first, padding after them")
