"""The checks of the exercises: what they accept, what they reject, and what they say."""

from __future__ import annotations

import heapq
import math
import os
import subprocess
import sys

import answers_bert
import answers_bpe
import answers_gpt
import answers_transformer
import answers_vit
import pytest
import torch
from torch import nn

from course_utils import attention, decoding, recurrent
from course_utils.exercises import Result, check
from course_utils.exercises import seq2seq_attention_solutions as solutions
from course_utils.exercises.checking import LESSONS, exercises, find

ALL = [exercise for lesson in LESSONS for exercise in exercises(lesson)]
SOLUTIONS = {
    "01.1": solutions.bilinear_score,
    "01.2": solutions.additive_score,
    "01.3": solutions.attend,
    "01.4": solutions.decoder_step,
    "01.5": solutions.beam_search,
    **answers_transformer.SOLUTIONS,
    **answers_bpe.SOLUTIONS,
    **answers_gpt.SOLUTIONS,
    **answers_bert.SOLUTIONS,
    **answers_vit.SOLUTIONS,
}


@pytest.fixture(autouse=True)
def not_strict(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)


# ---- right answers, written in other ways


def bilinear_einsum(query, key, weight):
    return torch.einsum("bqi,ij,bkj->bqk", query, weight, key)


def bilinear_loops_in_float64(query, key, weight):
    scores = torch.zeros(query.shape[0], query.shape[1], key.shape[1], dtype=torch.float64)
    for b, q, k in torch.cartesian_prod(*map(torch.arange, scores.shape)).tolist():
        scores[b, q, k] = query[b, q].double() @ weight.double() @ key[b, k].double()
    return scores


class BilinearModule(nn.Module):
    def forward(self, query, key, weight):
        return torch.bmm(query, torch.nn.functional.linear(key, weight).permute(0, 2, 1))


def additive_concatenated(query, key, w_query, w_key, w):
    """[W_q; W_k] on [query; key], the other way of writing it."""
    joined = torch.cat([w_query, w_key], dim=1)
    pairs = torch.cat(
        [
            query[:, :, None].expand(-1, -1, key.shape[1], -1),
            key[:, None].expand(-1, query.shape[1], -1, -1),
        ],
        dim=-1,
    )
    return torch.einsum("a,bqka->bqk", w, (pairs @ joined.T).tanh())


def additive_loops(query, key, w_query, w_key, w):
    rows = [
        [[w.dot(torch.tanh(w_query.mv(q) + w_key.mv(k))) for k in keys] for q in queries]
        for queries, keys in zip(query, key, strict=True)
    ]
    return torch.stack([torch.stack([torch.stack(row) for row in sentence]) for sentence in rows])


def attend_by_exponentials(scores, values, mask):
    shifted = scores.double() - scores.double().amax(dim=-1, keepdim=True).clamp(min=-1e30)
    shifted = shifted.where(mask, torch.tensor(-math.inf, dtype=torch.float64))
    shifted = shifted - shifted.amax(-1, keepdim=True).clamp(min=-1e30)
    powers = shifted.exp()
    weights = powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)
    return [torch.einsum("bqk,bkd->bqd", weights, values.double()), weights]


def attend_by_nan_to_num(scores, values, mask):
    weights = torch.where(mask, scores, float("-inf")).softmax(2).nan_to_num(0.0)
    return (weights.unsqueeze(-1) * values.unsqueeze(1)).sum(2), weights


def attend_row_by_row(scores, values, mask):
    mask = mask.expand_as(scores)
    weights = torch.zeros_like(scores)
    for b in range(scores.shape[0]):
        for q in range(scores.shape[1]):
            keep = mask[b, q].nonzero()[:, 0]
            weights[b, q, keep] = scores[b, q, keep].softmax(0)
    return torch.bmm(weights, values), weights


def step_with_own_attention(embedded, state, memory, mask, score, cell):
    scores = score(state[:, None, :], memory)[:, 0]
    weights = scores.masked_fill(mask.logical_not(), -1e9).softmax(dim=1)
    context = torch.einsum("bs,bsm->bm", weights, memory)
    return cell(torch.hstack((embedded, context)), state), context, weights


def step_sentence_by_sentence(embedded, state, memory, mask, score, cell):
    scores = score(state.unsqueeze(1), memory).squeeze(1)
    parts = []
    for x, h, v, m, s in zip(embedded, state, memory, mask, scores, strict=True):
        weights = torch.zeros(len(m))
        weights[m] = s[m].softmax(0)
        context = weights @ v
        parts.append((cell(torch.cat([x, context]), h), context, weights))
    return tuple(torch.stack(part) for part in zip(*parts, strict=True))


def beam_that_keeps_finished_in_place(next_log_probs, num_beams, max_length, eos):
    beam = [([], 0.0)]
    for _ in range(max_length):
        longer = []
        for ids, score in beam:
            if ids and ids[-1] == eos:
                longer.append((ids, score))
                continue
            for token, log_prob in enumerate(next_log_probs(tuple(ids))):
                longer.append(([*ids, token], score + log_prob))
        beam = heapq.nlargest(num_beams, longer, key=lambda pair: pair[1])
    ids, score = beam[0]
    return (ids[:-1] if ids[-1] == eos else ids), score


def beam_with_tensors(next_log_probs, num_beams, max_length, eos):
    prefixes, totals = torch.empty(1, 0, dtype=torch.long), torch.zeros(1)
    best = ([], -math.inf)
    for length in range(max_length):
        table = torch.tensor([next_log_probs(tuple(p.tolist())) for p in prefixes])
        totals = totals[:, None] + table
        ended = totals[:, eos] if length < max_length - 1 else totals.amax(1)
        for row, score in zip(range(len(prefixes)), ended, strict=True):
            if score > best[1]:
                last = totals[row].argmax().item() if length == max_length - 1 else eos
                ids = prefixes[row].tolist() + ([] if last == eos else [last])
                best = (ids, float(score))
        totals[:, eos] = -math.inf
        top = totals.flatten().topk(min(num_beams, totals.numel()))
        rows, tokens = top.indices // table.shape[1], top.indices % table.shape[1]
        prefixes, totals = torch.cat([prefixes[rows], tokens[:, None]], 1), top.values
    return best


def beam_until(stop, keep=False, in_place=False):
    """Ends as soon as `stop(beam, candidates, ended)`, with the leader; `keep`: or one ended."""

    def search(next_log_probs, num_beams, max_length, eos):
        def ended(candidate):
            return candidate[1][-1:] == [eos]

        alive, done, leaders = [(0.0, [])], [], []
        for _ in range(max_length):
            grown = [
                (total + log_prob, [*ids, token])
                for total, ids in alive
                for token, log_prob in enumerate(next_log_probs(tuple(ids)))
            ]
            grown.sort(key=lambda pair: -pair[0])
            leaders = grown[:num_beams]
            done += filter(ended, leaders)
            if stop(leaders, grown, ended):
                break
            alive = [c for c in (leaders if in_place else grown) if not ended(c)][:num_beams]
        total, ids = max(done + leaders if keep else leaders)
        return [token for token in ids if token != eos], total

    return search


def leader_ended(leaders, grown, ended):
    return ended(leaders[0])


def any_leader_ended(leaders, grown, ended):
    return any(map(ended, leaders))


def any_ended(leaders, grown, ended):
    return any(map(ended, grown))


RIGHT = [
    *SOLUTIONS.items(),
    ("01.1", bilinear_einsum),
    ("01.1", bilinear_loops_in_float64),
    ("01.1", BilinearModule()),
    ("01.2", additive_concatenated),
    ("01.2", additive_loops),
    ("01.3", attend_by_exponentials),
    ("01.3", attend_by_nan_to_num),
    ("01.3", attend_row_by_row),
    ("01.3", attention.attend),
    ("01.4", step_with_own_attention),
    ("01.4", step_sentence_by_sentence),
    ("01.5", beam_that_keeps_finished_in_place),
    ("01.5", beam_with_tensors),
    ("01.5", beam_until(leader_ended, keep=True)),
    ("01.5", beam_until(leader_ended, keep=True, in_place=True)),
    *answers_transformer.RIGHT,
    *answers_bpe.RIGHT,
    *answers_gpt.RIGHT,
    *answers_bert.RIGHT,
    *answers_vit.RIGHT,
]


@pytest.mark.parametrize(
    ("name", "answer"), RIGHT, ids=lambda x: x if isinstance(x, str) else getattr(x, "__name__", "")
)
def test_right_answer_passes(name, answer, capsys):
    result = check(name, answer)
    assert result == Result(name, "passed")
    assert capsys.readouterr().out == f"{name} passed\n"


# ---- wrong answers, written without looking at the known mistakes


def pairs(query, key, w_query, w_key):
    return (query @ w_query.T).unsqueeze(2) + (key @ w_key.T).unsqueeze(1)


def softmax_then_mask(scores, values, mask):
    weights = torch.softmax(scores, dim=-1)
    weights = torch.where(mask, weights, torch.zeros(()))
    return torch.matmul(weights, values), weights


def fill(value, dim=-1):
    def attend(scores, values, mask):
        weights = torch.softmax(scores.masked_fill(mask == 0, value), dim=dim)
        return weights.bmm(values), weights

    return attend


def inverted(scores, values, mask):
    weights = scores.masked_fill(mask, float("-inf")).softmax(dim=-1)
    return weights @ values, weights


def unstable(scores, values, mask):
    powers = torch.exp(scores) * mask
    weights = powers / powers.sum(-1, keepdim=True).clamp(min=1e-9)
    return weights @ values, weights


def fill_then_multiply(value):
    def attend(scores, values, mask):
        weights = scores.masked_fill(~mask, value).softmax(-1) * mask
        return weights @ values, weights

    return attend


def maximum_off(maximum, normalise):
    def attend(scores, values, mask):
        weights = normalise(torch.exp(scores - maximum(scores)) * mask)
        return weights @ values, weights

    return attend


def of_row(scores):
    return scores.amax(-1, keepdim=True)


def by_clamped_sum(powers):
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-12)


def by_sum_without_nan(powers):
    return (powers / powers.sum(-1, keepdim=True)).nan_to_num(0.0)


def not_normalised(scores, values, mask):
    weights = torch.sigmoid(scores) * mask
    return weights @ values, weights


def other_context(scores, values, mask):
    weights = solutions.attend(scores, values, mask)[1]
    return torch.einsum("bqk,bkd->bqd", weights**2, values), weights


def step(order="word first", look="old", mask_it=True, back="new", mean=False, zeros=False):
    def decoder_step(embedded, state, memory, mask, score, cell):
        def read(query):
            energy = score(query.unsqueeze(1), memory).squeeze(1)
            if mask_it:
                energy = energy.masked_fill(~mask, -torch.inf)
            weights = torch.softmax(energy, 1)
            return (memory * weights.unsqueeze(-1)).sum(1), weights

        context, weights = read(state)
        if mean:
            context = memory.mean(dim=1)
        parts = (embedded, context) if order == "word first" else (context, embedded)
        new = cell(torch.cat(parts, 1)) if zeros else cell(torch.cat(parts, 1), state)
        if look == "new":
            context, weights = read(new)
        return (new if back == "new" else state), context, weights

    return decoder_step


def step_reads(make):
    """Gives the right context, but the cell reads something else."""

    def decoder_step(embedded, state, memory, mask, score, cell):
        context, weights = attention.attend(score(state[:, None], memory), memory, mask[:, None])
        read = torch.cat([embedded, make(memory, mask)], dim=1)
        return cell(read, state), context[:, 0], weights[:, 0]

    return decoder_step


def mean_of_real(memory, mask):
    return (memory * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def step_with_two_moves(embedded, state, memory, mask, score, cell):
    nothing = torch.zeros(memory.shape[0], memory.shape[2])
    state = cell(torch.cat([embedded, nothing], 1), state)
    context, weights = attention.attend(score(state[:, None], memory), memory, mask[:, None])
    return state, context.squeeze(1), weights.squeeze(1)


def step_with_extra_axis(embedded, state, memory, mask, score, cell):
    context, weights = attention.attend(score(state[:, None], memory), memory, mask[:, None])
    return cell(torch.cat([embedded, context[:, 0]], 1), state), context, weights


def step_squeezed(embedded, state, memory, mask, score, cell):
    context, weights = attention.attend(score(state[:, None], memory), memory, mask[:, None])
    state = cell(torch.cat([embedded, context[:, 0]], 1), state)
    return state, context[:, 0], weights.squeeze()


def step_asks_without_axis(embedded, state, memory, mask, score, cell):
    return score(state, memory), memory, mask


def step_exchanged(embedded, state, memory, mask, score, cell):
    return score(memory, state[:, None]), memory, mask


def greedy(next_log_probs, num_beams, max_length, eos):
    prefix, total = (), 0.0
    while len(prefix) < max_length:
        log_probs = next_log_probs(prefix)
        token = log_probs.index(max(log_probs))
        total += log_probs[token]
        if token == eos:
            break
        prefix += (token,)
    return list(prefix), total


def beam(
    add=lambda total, log_prob: total + log_prob,
    final=lambda total, ids: total,
    collect=True,
    per_beam=False,
    copies=False,
    keep_eos=False,
    stop_early=False,
    longer=0,
    forget_cut=False,
    take=max,
):
    """A beam search in another style than the package's, with places to go wrong."""

    def search(next_log_probs, num_beams, max_length, eos):
        alive, done = [([], 0.0)] * (num_beams if copies else 1), []
        for _ in range(max_length + longer):
            grown = []
            for ids, total in alive:
                children = [
                    ([*ids, token], add(total, log_prob))
                    for token, log_prob in enumerate(next_log_probs(tuple(ids)))
                ]
                children.sort(key=lambda pair: -pair[1])
                grown += children[:num_beams] if per_beam else children
            grown.sort(key=lambda pair: -pair[1])
            kept = grown if per_beam else grown[:num_beams]
            if collect:
                done += [pair for pair in kept if pair[0][-1] == eos]
            if stop_early and done:
                alive = []
                break
            alive = [pair for pair in grown if pair[0][-1] != eos]
            alive = alive if per_beam else alive[:num_beams]
        if not forget_cut:
            done = done + alive
        ids, total = take(done, key=lambda pair: final(pair[1], pair[0]))
        if not keep_eos:
            ids = [token for token in ids if token != eos]
        return ids, total

    return search


def beam_past_eos(next_log_probs, num_beams, max_length, eos):
    alive = [((), 0.0)]
    for _ in range(max_length):
        grown = [
            ((*ids, token), total + log_prob)
            for ids, total in alive
            for token, log_prob in enumerate(next_log_probs(ids))
        ]
        alive = sorted(grown, key=lambda pair: pair[1], reverse=True)[:num_beams]
    ids, total = alive[0]
    return list(ids[: ids.index(eos)] if eos in ids else ids), total


def beam_forever(next_log_probs, num_beams, max_length, eos):
    prefix = ()
    while True:
        prefix = (*prefix, 1)
        next_log_probs(prefix)


def beam_single_token(next_log_probs, num_beams, max_length, eos):
    return next_log_probs(1)


WRONG = [
    ("01.1", lambda query, key, weight: (query @ weight @ key.transpose(-1, -2)).mT, "exchanged"),
    (
        "01.1",
        lambda query, key, weight: torch.einsum("bqi,ji,bkj->bqk", query, weight, key),
        "W is transposed",
    ),
    ("01.1", lambda query, key, weight: torch.bmm(query, key.mT), "W is forgotten"),
    ("01.1", lambda query, key, weight: query @ weight @ key.mT / 3**0.5, "root of the width"),
    (
        "01.1",
        lambda query, key, weight: torch.softmax(query @ weight @ key.mT, 2),
        "softmax already",
    ),
    ("01.1", lambda query, key, weight: key @ weight @ key.mT, "keys are compared with themselves"),
    (
        "01.1",
        lambda query, key, weight: torch.einsum("bti,ij,btj->bt", query, weight, key),
        "every query meets every key",
    ),
    (
        "01.1",
        lambda query, key, weight: (query @ weight @ key.mT).squeeze(),
        "axis that only happens to have length 1",
    ),
    ("01.1", lambda query, key, weight: query @ weight @ key.mT + 1, "by hand?"),
    (
        "01.1",
        lambda query, key, weight: torch.einsum("bqi,ij,ckj->qk", query, weight, key),
        "has the shape (4, 4), expected (2, 4, 4), B Tq Tk",
    ),
    ("01.2", lambda query, key, w_query, w_key, w: pairs(query, key, w_query, w_key) @ w, "missin"),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: (pairs(query, key, w_query, w_key) @ w).tanh(),
        "the tanh is outside",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: pairs(query, key, w_query, w_key).tanh().sum(-1),
        "w is forgotten",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: pairs(key, query, w_key, w_query).tanh() @ w,
        "exchanged",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: pairs(query, key, w_key, w_query).tanh() @ w,
        "W_q and W_k have changed places",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: torch.tanh(query @ w_query.T + key @ w_key.T) @ w,
        "every query meets every key",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: pairs(query, key, w_query, w_key).tanh(),
        "not a score",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: pairs(query, key, w_query.T, w_key).tanh() @ w,
        "W_q is transposed",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: (
            ((query @ w_query.T).tanh().unsqueeze(2) + (key @ w_key.T).tanh().unsqueeze(1)) @ w
        ),
        "own tanh",
    ),
    (
        "01.2",
        lambda query, key, w_query, w_key, w: pairs(query, key, w_query.T, w_key.T).tanh() @ w,
        "W_q and W_k are both transposed: they have the shapes A Dq and A Dk. Over",
    ),
    ("01.3", inverted, "mask is inverted"),
    ("01.3", softmax_then_mask, "mask after the softmax"),
    ("01.3", fill(-math.inf, dim=1), "which axis did you normalise"),
    ("01.3", fill(-1e9, dim=0), "but over the batch"),
    ("01.3", fill(0.0), "score of 0 does not hide a key"),
    ("01.3", fill(1e-9), "score of 0 does not hide a key"),
    ("01.3", fill(-5.0), "low enough"),
    ("01.3", fill(-math.inf), "may attend to nothing gets NaN"),
    ("01.3", fill(torch.finfo(torch.float32).min), "still spreads weight"),
    ("01.3", fill_then_multiply(-5), "the hidden ones took their part first"),
    ("01.3", fill_then_multiply(-20), "score that you gave the hidden ones is higher"),
    ("01.3", fill_then_multiply(-100), "gave the hidden ones is higher and takes everything"),
    ("01.3", maximum_off(of_row, by_clamped_sum), "maximum that of the open scores only"),
    ("01.3", maximum_off(of_row, by_sum_without_nan), "Is your maximum that of the open"),
    ("01.3", maximum_off(torch.max, by_clamped_sum), "gets zeros only"),
    ("01.3", unstable, "large scores give NaN"),
    ("01.3", not_normalised, "what do you divide by"),
    ("01.3", other_context, "your weights are right, your context is not"),
    ("01.3", lambda scores, values, mask: fill(-1e9)(scores, values, mask | True), "is ignored"),
    (
        "01.3",
        lambda scores, values, mask: solutions.attend(scores, values, mask)[::-1],
        "their order is not: return context, weights",
    ),
    ("01.3", lambda scores, values, mask: solutions.attend(scores, values, mask)[0], "one Tensor"),
    (
        "01.3",
        lambda scores, values, mask: (scores.masked_fill(~mask, -1e4) @ values, scores),
        "Which function makes weights of scores",
    ),
    ("01.4", step(order="context first"), "wrong order"),
    ("01.4", step(look="new"), "Luong's order"),
    ("01.4", step_with_two_moves, "Luong's order"),
    ("01.4", step(mask_it=False), "mask is ignored"),
    ("01.4", step(back="old"), "the old state comes back"),
    ("01.4", step(mean=True), "the memory's mean"),
    (
        "01.4",
        step_reads(lambda memory, mask: memory.mean(1)),
        "what the cell reads does not use the weights: the memory's mean. ",
    ),
    (
        "01.4",
        step_reads(mean_of_real),
        "cell reads does not use the weights: the memory's mean over",
    ),
    ("01.4", step(zeros=True), "starts from zeros"),
    ("01.4", step_with_extra_axis, "which axis of length 1 is left over"),
    ("01.4", step_squeezed, "axis that only happens to have length 1"),
    ("01.4", step_asks_without_axis, "unsqueeze"),
    ("01.4", step_exchanged, "query and keys changed places"),
    ("01.5", greedy, "greedy search"),
    ("01.5", beam(copies=True), "copies of one"),
    ("01.5", beam(add=lambda total, log_prob: total + math.exp(log_prob)), "product"),
    ("01.5", beam(add=lambda total, log_prob: log_prob), "score so far is forgotten"),
    ("01.5", beam(collect=False), "finished sequences get lost"),
    ("01.5", beam(final=lambda total, ids: total / len(ids)), "divide by the length"),
    ("01.5", beam(final=lambda total, ids: len(ids)), "longest"),
    ("01.5", beam(per_beam=True), "the best of all together"),
    ("01.5", beam(keep_eos=True), "still hold eos"),
    ("01.5", beam(stop_early=True), "first finished sequence"),
    ("01.5", beam_until(any_leader_ended), "can a longer one still be better?"),
    ("01.5", beam_until(any_ended), "you stop at the first finished sequence: can a longer"),
    (
        "01.5",
        lambda next_log_probs, num_beams, max_length, eos: ([], next_log_probs(())[eos]),
        "you stop at the first finished sequence: can",
    ),
    ("01.5", beam_until(leader_ended), "throw the finished ones before it away"),
    ("01.5", beam_until(leader_ended, in_place=True), "stop when the best of the beam is finished"),
    ("01.5", beam(longer=1), "one token too long"),
    ("01.5", beam(longer=-1), "one token too short"),
    ("01.5", beam(take=min), "the worst finished sequence"),
    ("01.5", beam_past_eos, "go on after eos"),
    ("01.5", beam_forever, "stopped at call number"),
    ("01.5", beam_single_token, "does a comma lack"),
    ("01.5", lambda *inputs: solutions.beam_search(*inputs)[::-1], "changed places"),
    ("01.5", lambda *inputs: solutions.beam_search(*inputs)[0], "return ids, score"),
    (
        "01.5",
        lambda *inputs: (
            solutions.beam_search(*inputs)[0],
            math.exp(solutions.beam_search(*inputs)[1]),
        ),
        "the score is a probability",
    ),
    ("01.5", lambda *inputs: ([1], -0.5), "each of them in your sum once"),
    *answers_transformer.WRONG,
    *answers_bpe.WRONG,
    *answers_gpt.WRONG,
    *answers_bert.WRONG,
    *answers_vit.WRONG,
]


# Each answer to 02.5 is compared with a hundred others.
WRONG_MARKED = [
    pytest.param(
        *wrong, id=f"{wrong[0]} {wrong[2]}", marks=[pytest.mark.slow] * (wrong[0] == "02.5")
    )
    for wrong in WRONG
]


@pytest.mark.parametrize(("name", "answer", "phrase"), WRONG_MARKED)
def test_wrong_answer_gets_the_fitting_hint(name, answer, phrase, capsys):
    result = check(name, answer)
    assert result.status == "not yet"
    assert phrase in result.hint
    out = capsys.readouterr().out
    assert out == f"{name} not yet: {result.hint}\n" and out.count("\n") == 1


def test_every_exercise_has_wrong_answers_of_its_own():
    for exercise in ALL:
        assert len({phrase for name, _, phrase in WRONG if name == exercise.name}) >= 4


def with_slow_ones_marked(slow):
    """All exercises; those named here take seconds to judge many answers."""
    marks = {name: [pytest.mark.slow] for name in slow}
    return [pytest.param(e, id=e.name, marks=marks.get(e.name, [])) for e in ALL]


@pytest.mark.parametrize(
    "exercise", with_slow_ones_marked(["01.4", "01.5", "02.3", "02.4", "02.5"])
)
def test_known_mistakes_get_their_own_hint(exercise):
    assert len({mistake.hint for mistake in exercise.mistakes}) >= 4
    for mistake in exercise.mistakes:
        assert exercise.judge(mistake.answer, exercise.mistakes) == mistake.hint


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.name)
def test_hints_ask_a_question_in_plain_letters(exercise):
    for mistake in exercise.mistakes:
        assert "?" in mistake.hint and mistake.hint.isascii() and "\n" not in mistake.hint


# ---- answers that do not come to a result


@pytest.mark.parametrize("name", SOLUTIONS)
def test_stub_is_not_attempted(name, capsys):
    def stub(*inputs):
        raise NotImplementedError

    assert check(name, stub) == Result(name, "not attempted")
    assert capsys.readouterr().out == f"{name} not attempted\n"


@pytest.mark.parametrize("name", SOLUTIONS)
def test_error_of_the_answer_is_explained(name):
    def answer(*inputs):
        return inputs[0] + None

    hint = check(name, answer).hint
    assert "raised TypeError in the line `return inputs[0] + None`" in hint


def test_error_tells_the_shapes():
    hint = check("01.1", lambda query, key, weight: torch.bmm(query, key) @ weight).hint
    assert "raised RuntimeError" in hint and "query (2, 4, 3), key (2, 4, 3)" in hint


def test_error_after_easier_inputs_says_that_they_went_well():
    def square_only(query, key, weight):
        scores = torch.empty(len(query), query.shape[1], query.shape[1])  # not key.shape[1]
        return scores.copy_(query @ weight @ key.mT)

    hint = check("01.1", square_only).hint
    assert "raised RuntimeError" in hint and "Easier inputs went well" in hint


def test_missing_kernel_is_an_error_and_not_the_stub():
    hint = check("01.3", lambda scores, values, mask: mask.softmax(-1)).hint
    assert "which dtype" in hint


@pytest.mark.parametrize("name", SOLUTIONS)
def test_answer_without_return_is_recognised(name):
    result = check(name, lambda *inputs: None)
    assert result.status == "not yet" and "return" in result.hint


@pytest.mark.parametrize("name", SOLUTIONS)
def test_wrong_number_of_parameters_is_recognised(name):
    result = check(name, lambda: None)
    assert "your function takes ()" in result.hint


@pytest.mark.parametrize("answer", [None, torch.zeros(2), "solution", (1, 2)])
def test_answer_that_is_no_function_gets_a_hint(answer):
    result = check("01.2", answer)
    assert result.status == "not yet" and "did you call it" in result.hint


def test_indexing_with_a_mask_that_does_not_broadcast_has_a_hint():
    def by_index(scores, values, mask):
        scores = scores.clone()
        scores[~mask] = -torch.inf
        return scores.softmax(-1) @ values, scores

    hint = check("01.3", by_index).hint
    assert "do you know masked_fill?" in hint and "`scores[~mask] = -torch.inf`" in hint


def test_two_mistakes_at_once_do_not_hide_each_other():
    def ignores_and_sums(scores, values, mask):
        weights = scores.softmax(-1)
        return (weights @ values) * 2, weights

    assert "mask is ignored" in check("01.3", ignores_and_sums).hint


def test_wrong_types_have_hints_of_their_own():
    def numbers(query, key, weight):
        return solutions.bilinear_score(query, key, weight).tolist()

    assert "scores is a list, expected a tensor" in check("01.1", numbers).hint
    assert "scores is a ndarray" in check("01.1", lambda *x: numbers_as_array(numbers(*x))).hint
    whole = check("01.1", lambda *x: solutions.bilinear_score(*x).round().long())
    assert "dtype torch.int64, expected torch.float32" in whole.hint
    three = check("01.3", lambda *x: (*solutions.attend(*x), x[0]))
    assert "3 things came back, expected 2: context, weights" in three.hint


def numbers_as_array(numbers):
    import numpy

    return numpy.asarray(numbers)


def test_nan_is_named():
    hint = check("01.1", lambda *x: solutions.bilinear_score(*x) * float("nan")).hint
    assert "holds NaN" in hint


def test_changing_an_input_is_named():
    def in_place(scores, values, mask):
        scores.masked_fill_(~mask, -torch.inf)
        weights = scores.softmax(-1).nan_to_num(0.0)
        return weights @ values, weights

    hint = check("01.3", in_place).hint
    assert "changes its input scores in place" in hint


def test_odd_results_do_not_stop_the_lecture():
    assert check("01.1", lambda *x: solutions.bilinear_score(*x).to_sparse()).passed
    meta = check("01.1", lambda *x: solutions.bilinear_score(*x).to("meta"))
    assert meta.status == "not yet"


# ---- strict mode, names, side effects


def test_strict_mode_raises_unless_passed(monkeypatch):
    def stub(*inputs):
        raise NotImplementedError

    with pytest.raises(AssertionError, match=r"01\.1 not attempted"):
        check("01.1", stub, strict=True)
    assert check("01.1", solutions.bilinear_score, strict=True).passed
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(AssertionError, match="not yet"):
        check("01.1", None)
    assert not check("01.1", None, strict=False).passed
    monkeypatch.setenv("COURSE_STRICT", "0")
    assert not check("01.1", None).passed


@pytest.mark.parametrize("name", ["01.6", "1.1", "", "\n", "99.1", None, solutions.attend])
def test_unknown_name_is_one_line_that_lists_the_names(name, capsys):
    result = check(name, solutions.bilinear_score)
    assert result.status == "unknown" and not result.passed
    assert f"there is no such check, only {', '.join(SOLUTIONS)}." in result.hint
    out = capsys.readouterr().out
    assert out == f"{result}\n" and out.count("\n") == 1 and not out.startswith(" ")
    with pytest.raises(AssertionError, match="there is no such check"):
        check(name, solutions.bilinear_score, strict=True)
    with pytest.raises(ValueError, match="there is no such check"):
        find(name)


def test_unknown_name_is_shown():
    assert str(check("01.6", None)).startswith("01.6 unknown: there is no such check")
    assert check("", None).name == "''"


def test_finished_sequence_that_never_leads_is_found():
    rows = {(): (0.3, 0.5, 0.2)}

    def ask(prefix):
        return [math.log(p) for p in rows.get(prefix, (0.2, 0.4, 0.4))]

    assert solutions.beam_search(ask, 2, 4, 0) == ([], pytest.approx(math.log(0.3)))
    assert beam_until(leader_ended)(ask, 2, 4, 0)[1] == pytest.approx(-3.442, abs=1e-3)


def test_hidden_score_above_the_open_ones_is_among_the_cases():
    scores, values = torch.tensor([[[-300.0, -300.0, 0.0]]]), torch.ones(1, 3, 1)
    mask = torch.tensor([[[True, True, False]]])
    cases = find("01.3").judge.cases()
    assert any(torch.equal(s, scores) and torch.equal(m, mask) for s, _, m in cases)
    assert solutions.attend(scores, values, mask)[1].tolist() == [[[0.5, 0.5, 0.0]]]


def test_result_shows_nothing_in_a_notebook():
    from IPython.core.formatters import DisplayFormatter

    assert DisplayFormatter().format(Result("01.1", "not yet", "a hint")) == ({}, {})


@pytest.mark.slow
def test_check_says_the_same_twice():
    for name, answer in {name: answer for name, answer, _ in WRONG}.items():
        assert check(name, answer) == check(name, answer)


def run_apart(code):
    """In a process of its own, where nothing is imported yet and no type is checked."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.slow
def test_lesson_is_imported_when_it_is_checked():
    run_apart(
        "import sys, course_utils.exercises as e\n"
        "lesson = 'course_utils.exercises.seq2seq_attention'\n"
        "assert lesson not in sys.modules\n"
        "e.check('01.1', None)\n"
        "assert lesson in sys.modules"
    )


@pytest.mark.slow
def test_check_leaves_global_generators_alone():
    run_apart(
        "import random, torch\n"
        "from course_utils.exercises.checking import LESSONS, check, exercises\n"
        "before = torch.get_rng_state(), random.getstate()\n"
        "for exercise in [e for lesson in LESSONS for e in exercises(lesson)]:\n"
        "    check(exercise.name, exercise.mistakes[0].answer)\n"
        "assert torch.equal(before[0], torch.get_rng_state())\n"
        "assert before[1] == random.getstate()"
    )


# ---- the solutions are the package's functions


def test_bilinear_solution_equals_the_package():
    score = attention.BilinearScore(4, 3)
    query, key = torch.randn(2, 5, 4), torch.randn(2, 6, 3)
    own = solutions.bilinear_score(query, key, score.weight.weight)
    torch.testing.assert_close(own, score(query, key))


def test_additive_solution_equals_the_package():
    score = attention.AdditiveScore(4, 3, 7)
    nn.init.zeros_(score.key.bias)
    query, key = torch.randn(2, 5, 4), torch.randn(2, 6, 3)
    weights = score.query.weight, score.key.weight, score.score.weight[0]
    torch.testing.assert_close(
        solutions.additive_score(query, key, *weights), score(query, key), rtol=1e-5, atol=1e-6
    )


def test_attend_solution_equals_the_package():
    scores, values = torch.randn(3, 4, 5), torch.randn(3, 5, 2)
    mask = torch.rand(3, 4, 5) < 0.5
    mask[1, 2] = False
    for m in (mask, mask[:, :1], mask[:1]):
        own, package = solutions.attend(scores, values, m), attention.attend(scores, values, m)
        torch.testing.assert_close(own, package)


def test_decoder_step_solution_equals_the_package():
    decoder = recurrent.StepwiseDecoder(3, 5, 4, 6, attention.BilinearScore(5, 4))
    embedded, state, states = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 7, 4)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    keys = decoder.score.project_keys(states)
    memory = recurrent.Memory(states, keys, mask, states[:, 0])
    own = solutions.decoder_step(embedded, state, states, mask, decoder.score, decoder.cell)
    torch.testing.assert_close(own, decoder.step(embedded, state, memory))


@pytest.mark.parametrize("num_beams", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(10))
def test_beam_search_solution_equals_the_package(num_beams, seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(5, 5, generator=generator, dtype=torch.float64) * 2  # last token -> next
    log_probs = table.log_softmax(-1)
    ids, score = solutions.beam_search(
        lambda prefix: log_probs[prefix[-1] if prefix else 0].tolist(), num_beams, 6, eos=2
    )
    found = decoding.beam_search(
        lambda tokens, state: (table[tokens], state),
        torch.tensor([0]),
        None,
        eos_id=2,
        max_length=6,
        num_beams=num_beams,
    )
    assert found.ids == [ids]
    assert float(found.scores) == pytest.approx(score, abs=1e-5)


def test_find_gives_the_exercise():
    assert find("01.3").title == "Attend under a mask"
    assert [exercise.name for exercise in ALL] == list(SOLUTIONS)
