"""Encoder and decoders against PyTorch's cells and explicit loops."""

import pytest
import torch
from helpers import shake
from torch import nn

from course_utils.attention import AdditiveScore, BilinearScore, DotScore
from course_utils.masks import padding_mask
from course_utils.recurrent import Memory, ParallelDecoder, RecurrentEncoder, StepwiseDecoder

B, S, T, E, D, M, R = 3, 5, 4, 3, 6, 6, 2
LENGTHS = [5, 1, 3]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def make_score(kind):
    score = {"additive": AdditiveScore(D, M, 7), "bilinear": BilinearScore(D, M), "dot": DotScore()}
    return shake(score[kind].double(), seed=5)


def make_memory(score):
    states = draw(B, S, M, seed=1)
    keys = states[..., :0] if score is None else score.project_keys(states)
    return Memory(states, keys, padding_mask(torch.tensor(LENGTHS)), draw(B, M, seed=2))


def attend_by_loop(score, state, memory, b):
    """Context and weights of one state of sentence b; padding does not even exist."""
    real = memory.states[b, : LENGTHS[b]]
    scores = [score(state[None, None], key[None, None]).item() for key in real]
    weights = torch.tensor(scores, dtype=torch.float64).softmax(dim=0)
    return sum(w * value for w, value in zip(weights, real, strict=True)), weights


@pytest.mark.parametrize("bidirectional", [True, False])
def test_encoder_of_padded_rows_equals_each_row_alone(bidirectional):
    encoder = shake(RecurrentEncoder(E, 4, bidirectional=bidirectional).double())
    embedded, mask = draw(B, S, E), padding_mask(torch.tensor(LENGTHS))
    states, summary = encoder(embedded, mask)
    assert states.shape == (B, S, encoder.output_dim) and summary.shape == (B, encoder.output_dim)
    for b, length in enumerate(LENGTHS):
        alone = embedded[b : b + 1, :length]
        its_states, its_summary = encoder(alone, torch.ones(1, length, dtype=torch.bool))
        torch.testing.assert_close(states[b : b + 1, :length], its_states)
        torch.testing.assert_close(summary[b : b + 1], its_summary)
        assert not states[b, length:].any()


def test_encoder_keeps_the_width_when_every_row_is_shorter():
    encoder = shake(RecurrentEncoder(E, 4).double())
    embedded = draw(2, 6, E)
    states, summary = encoder(embedded, padding_mask(torch.tensor([2, 3]), 6))
    short, its_summary = encoder(embedded[:, :3], padding_mask(torch.tensor([2, 3]), 3))
    assert states.shape[1] == 6
    torch.testing.assert_close(states[:, :3], short)
    torch.testing.assert_close(summary, its_summary)


def test_encoder_equals_gru_cells_in_both_directions():
    encoder = shake(RecurrentEncoder(E, 4).double())
    embedded, mask = draw(B, S, E), padding_mask(torch.tensor(LENGTHS))
    states, summary = encoder(embedded, mask)
    forward, backward = nn.GRUCell(E, 4).double(), nn.GRUCell(E, 4).double()
    for cell, suffix in ((forward, ""), (backward, "_reverse")):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data.copy_(getattr(encoder.rnn, f"{name}_l0{suffix}"))
    for b, length in enumerate(LENGTHS):
        right = left = torch.zeros(1, 4, dtype=torch.float64)
        for t in range(length):
            right = forward(embedded[b, t][None], right)
            torch.testing.assert_close(states[b, t, :4], right[0])
        for t in reversed(range(length)):
            left = backward(embedded[b, t][None], left)
            torch.testing.assert_close(states[b, t, 4:], left[0])
        # the summary: forward after the last real word, backward after the first
        torch.testing.assert_close(summary[b], torch.cat([right[0], left[0]]))


def test_encoder_gives_padding_no_gradient():
    encoder = shake(RecurrentEncoder(E, 4).double())
    embedded, mask = draw(B, S, E).requires_grad_(True), padding_mask(torch.tensor(LENGTHS))
    states, summary = encoder(embedded, mask)
    (states.sum() + summary.sum()).backward()
    assert not embedded.grad[~mask].any()
    assert embedded.grad[mask].abs().sum(dim=-1).all()


@pytest.mark.parametrize("kind", ["additive", "bilinear", "dot"])
def test_stepwise_decoder_step_equals_gru_cell_by_hand(kind):
    score = make_score(kind)
    decoder = shake(StepwiseDecoder(E, D, M, R, score).double())
    memory, word, state = make_memory(score), draw(B, E, seed=3), draw(B, D, seed=4)
    new, context, weights = decoder.step(word, state, memory)
    w_ir, w_iz, w_in = decoder.cell.weight_ih.chunk(3)
    w_hr, w_hz, w_hn = decoder.cell.weight_hh.chunk(3)
    b_ir, b_iz, b_in = decoder.cell.bias_ih.chunk(3)
    b_hr, b_hz, b_hn = decoder.cell.bias_hh.chunk(3)
    cell = nn.GRUCell(E + M, D).double()
    cell.load_state_dict(decoder.cell.state_dict())
    for b in range(B):
        wanted, its_weights = attend_by_loop(score, state[b], memory, b)
        torch.testing.assert_close(context[b], wanted)
        torch.testing.assert_close(weights[b, : LENGTHS[b]], its_weights)
        assert not weights[b, LENGTHS[b] :].any()
        x, h = torch.cat([word[b], wanted]), state[b]
        torch.testing.assert_close(new[b], cell(x[None], h[None])[0])
        reset = torch.sigmoid(w_ir @ x + b_ir + w_hr @ h + b_hr)
        update = torch.sigmoid(w_iz @ x + b_iz + w_hz @ h + b_hz)
        fresh = torch.tanh(w_in @ x + b_in + reset * (w_hn @ h + b_hn))
        torch.testing.assert_close(new[b], (1 - update) * fresh + update * h)


def test_stepwise_decoder_forward_equals_its_steps_and_reads_out_the_new_state():
    score = make_score("additive")
    decoder = shake(StepwiseDecoder(E, D, M, R, score).double())
    memory, words, state = make_memory(score), draw(B, T, E, seed=3), draw(B, D, seed=4)
    readout, last, weights = decoder(words, state, memory)
    assert readout.shape == (B, T, R) and weights.shape == (B, T, S)
    for t in range(T):
        state, context, its_weights = decoder.step(words[:, t], state, memory)
        parts = torch.cat([words[:, t], context, state], dim=-1)
        wanted = torch.tanh(parts @ decoder.readout.weight.T + decoder.readout.bias)
        torch.testing.assert_close(readout[:, t], wanted)
        torch.testing.assert_close(weights[:, t], its_weights)
    torch.testing.assert_close(last, state)


@pytest.mark.parametrize("kind", ["additive", "bilinear", "dot"])
def test_parallel_decoder_equals_gru_cells_that_attend_after_the_step(kind):
    score = make_score(kind)
    decoder = shake(ParallelDecoder(E, D, M, R, score).double())
    memory, words, state = make_memory(score), draw(B, T, E, seed=3), draw(B, D, seed=4)
    readout, last, weights = decoder(words, state, memory)
    cell = nn.GRUCell(E, D).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data.copy_(getattr(decoder.rnn, f"{name}_l0"))
    for t in range(T):
        state = cell(words[:, t], state)
        for b in range(B):
            context, its_weights = attend_by_loop(score, state[b], memory, b)
            torch.testing.assert_close(weights[b, t, : LENGTHS[b]], its_weights)
            assert not weights[b, t, LENGTHS[b] :].any()
            wanted = torch.tanh(decoder.readout(torch.cat([context, state[b]])))
            torch.testing.assert_close(readout[b, t], wanted)
    torch.testing.assert_close(last, state)


def test_parallel_decoder_without_score_sees_the_summary_at_every_step():
    decoder = shake(ParallelDecoder(E, D, M, R, None).double())
    memory, words, state = make_memory(None), draw(B, T, E, seed=3), draw(B, D, seed=4)
    readout, _, weights = decoder(words, state, memory)
    states, _ = decoder.rnn(words, state[None])
    wanted = torch.stack([torch.cat([memory.summary, states[:, t]], -1) for t in range(T)], dim=1)
    torch.testing.assert_close(readout, torch.tanh(decoder.readout(wanted)))
    assert weights is None
    changed = memory._replace(states=memory.states + 1)
    assert torch.equal(decoder(words, state, changed)[0], readout)  # the bottleneck


@pytest.mark.parametrize("decoder_class", [StepwiseDecoder, ParallelDecoder])
def test_decoder_in_two_parts_equals_the_whole(decoder_class):
    score = make_score("bilinear")
    decoder = shake(decoder_class(E, D, M, R, score).double())
    memory, words, state = make_memory(score), draw(B, T, E, seed=3), draw(B, D, seed=4)
    whole = decoder(words, state, memory)
    first, middle, early = decoder(words[:, :1], state, memory)
    second, last, late = decoder(words[:, 1:], middle, memory)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole[0])
    torch.testing.assert_close(last, whole[1])
    torch.testing.assert_close(torch.cat([early, late], dim=1), whole[2])
