"""Recurrent encoder and decoders: what reads a sentence word by word, and what writes one.

Two decoders use attention in two orders. Bahdanau's attends first, with the state of the last
step, and feeds the context into the recurrence, so it has to go step by step. Luong's runs the
recurrence first and attends with its output, so under teacher forcing it reads a whole target at
once. Without a score function the context is the encoder's summary of the sentence, one vector
for all steps: the bottleneck.

Sources: Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder; Bahdanau et
al. 2015; Luong et al. 2015.

Axis letters: B batch, S source length, T target length, E width of the embeddings, D width of the
decoder's state, M width of the memory (the encoder's states), R width of the readout.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_utils.attention import attend


class Memory(NamedTuple):
    """What the decoder may look at: made once per sentence by the encoder.

    Parameters
    ----------
    states : Float "B S M"
        One vector per source position.
    keys : Float "B S A"
        The part of the scores that depends on the states alone.
    mask : Bool "B S"
        True where a source position may be attended to.
    summary : Float "B M"
        One vector for the sentence.
    """

    states: Float[Tensor, "B S M"]
    keys: Float[Tensor, "B S A"]
    mask: Bool[Tensor, "B S"]
    summary: Float[Tensor, "B M"]


class RecurrentEncoder(nn.Module):
    """GRU that reads embedded source words, in both directions or from left to right.

    Parameters
    ----------
    input_dim : int
        E, width of the embeddings.
    hidden_dim : int
        Width of the state of one direction; with two directions M = 2 * hidden_dim.
    bidirectional : bool
        Read from right to left as well, and concatenate.
    """

    def __init__(self, input_dim: int, hidden_dim: int, *, bidirectional: bool = True) -> None:
        super().__init__()
        self.rnn = nn.GRU(input_dim, hidden_dim, batch_first=True, bidirectional=bidirectional)
        self.output_dim = hidden_dim * (2 if bidirectional else 1)

    def forward(
        self, embedded: Float[Tensor, "B S E"], mask: Bool[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B S M"], Float[Tensor, "B M"]]:
        """Read the positions that `mask` calls real, which come first in their row.

        Returns
        -------
        states : Float "B S M"
            State after each position, zero at padding.
        summary : Float "B M"
            Last state of each direction: after the last real word, and after the first.
        """
        if mask.all():  # nothing to leave out, and twice as fast without packing
            states, last = self.rnn(embedded)
        else:
            lengths = mask.sum(dim=1).cpu()
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            states, last = self.rnn(packed)
            states, _ = pad_packed_sequence(states, batch_first=True, total_length=mask.shape[1])
        return states, last.transpose(0, 1).flatten(1)  # directions B H -> B directions*H


class StepwiseDecoder(nn.Module):
    """Bahdanau's order: attend with the last state, then step, then read out.

    Parameters
    ----------
    input_dim : int
        E, width of the embedded target words.
    hidden_dim : int
        D, width of the state.
    memory_dim : int
        M, width of the encoder's states.
    readout_dim : int
        R, width of the vector that the output layer reads.
    score : nn.Module
        A score function of `course_utils.attention` with `compare`.

    References
    ----------
    Bahdanau et al. 2015, sections 3.1 and A.2.
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, memory_dim: int, readout_dim: int, score: nn.Module
    ) -> None:
        super().__init__()
        self.score = score
        self.cell = nn.GRUCell(input_dim + memory_dim, hidden_dim)
        self.readout = nn.Linear(input_dim + memory_dim + hidden_dim, readout_dim)

    def step(
        self, embedded: Float[Tensor, "B E"], state: Float[Tensor, "B D"], memory: Memory
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B M"], Float[Tensor, "B S"]]:
        """One word in: the new state, the context and the weights that made it."""
        scores = self.score.compare(state[:, None], memory.keys)
        context, weights = attend(scores, memory.states, memory.mask[:, None])
        state = self.cell(torch.cat([embedded, context[:, 0]], dim=-1), state)
        return state, context[:, 0], weights[:, 0]

    def forward(
        self, embedded: Float[Tensor, "B T E"], state: Float[Tensor, "B D"], memory: Memory
    ) -> tuple[Float[Tensor, "B T R"], Float[Tensor, "B D"], Float[Tensor, "B T S"]]:
        """Read target words one after another.

        Returns
        -------
        readout : Float "B T R"
            What the output layer reads at each step.
        state : Float "B D"
            State after the last word.
        weights : Float "B T S"
            Attention of each step.
        """
        states, contexts, weights = [], [], []
        for word in embedded.unbind(dim=1):
            state, context, weight = self.step(word, state, memory)
            states.append(state)
            contexts.append(context)
            weights.append(weight)
        parts = [embedded, torch.stack(contexts, dim=1), torch.stack(states, dim=1)]
        readout = torch.tanh(self.readout(torch.cat(parts, dim=-1)))
        return readout, state, torch.stack(weights, dim=1)


class ParallelDecoder(nn.Module):
    """Luong's order: run over the words, then attend with every state at once.

    Parameters
    ----------
    input_dim, hidden_dim, memory_dim, readout_dim : int
        As in `StepwiseDecoder`.
    score : nn.Module or None
        None: no attention; the context is the encoder's summary at every step.

    References
    ----------
    Luong et al. 2015, section 3 (equations 5 and 6), without its input feeding.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        memory_dim: int,
        readout_dim: int,
        score: nn.Module | None,
    ) -> None:
        super().__init__()
        self.score = score
        self.rnn = nn.GRU(input_dim, hidden_dim, batch_first=True)
        self.readout = nn.Linear(memory_dim + hidden_dim, readout_dim)

    def forward(
        self, embedded: Float[Tensor, "B T E"], state: Float[Tensor, "B D"], memory: Memory
    ) -> tuple[Float[Tensor, "B T R"], Float[Tensor, "B D"], Float[Tensor, "B T S"] | None]:
        """Read target words at once; returns as `StepwiseDecoder`, weights None without score."""
        states, last = self.rnn(embedded, state[None].contiguous())
        if self.score is None:
            context, weights = memory.summary[:, None].expand(-1, states.shape[1], -1), None
        else:
            scores = self.score.compare(states, memory.keys)
            context, weights = attend(scores, memory.states, memory.mask[:, None])
        readout = torch.tanh(self.readout(torch.cat([context, states], dim=-1)))
        return readout, last[0], weights
