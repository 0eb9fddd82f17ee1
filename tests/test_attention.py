"""Attention: numbers worked by hand, explicit loops, masks."""

import math

import pytest
import torch
from helpers import as_a_reader, shake
from torch import nn

from course_utils.attention import (
    AdditiveScore,
    BilinearScore,
    DotScore,
    attend,
    dot_score,
    masked_softmax,
)
from course_utils.masks import causal_mask, padding_mask

B, TQ, TK, DQ, DK, A = 3, 4, 5, 2, 6, 7


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@torch.no_grad()
def scores_by_loop(score, query, key):
    """`score(one query, one key)` for every pair."""
    rows = [[[score(q, k) for k in key[b]] for q in query[b]] for b in range(len(query))]
    return torch.tensor(rows, dtype=query.dtype)


def test_dot_score_hand_worked():
    query = torch.tensor([[[1.0, 2.0], [0.0, -1.0]]])
    key = torch.tensor([[[3.0, 4.0], [0.0, 1.0], [-2.0, 1.0]]])
    # (1,2)·(3,4) = 11   (1,2)·(0,1) = 2    (1,2)·(-2,1) = 0
    # (0,-1)·(3,4) = -4  (0,-1)·(0,1) = -1  (0,-1)·(-2,1) = -1
    assert dot_score(query, key).tolist() == [[[11.0, 2.0, 0.0], [-4.0, -1.0, -1.0]]]


def test_bilinear_score_hand_worked():
    score = BilinearScore(query_dim=2, key_dim=3)
    with torch.no_grad():
        score.weight.weight.copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]))
    query, key = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]])
    # W(1,2,0) = (1,2), (1,3)·(1,2) = 7;  W(0,1,1) = (2,0), (1,3)·(2,0) = 2
    assert score(query, key).tolist() == [[[7.0, 2.0]]]


def test_additive_score_hand_worked():
    score = AdditiveScore(query_dim=1, key_dim=1, hidden_dim=2)
    with torch.no_grad():
        score.query.weight.copy_(torch.tensor([[1.0], [0.0]]))
        score.key.weight.copy_(torch.tensor([[1.0], [1.0]]))
        score.key.bias.zero_()
        score.score.weight.copy_(torch.tensor([[10.0, 1.0]]))
    query = torch.tensor([[[math.log(2.0)], [0.0]]])
    key = torch.tensor([[[0.0], [math.log(3.0)]]])
    # tanh(ln 2) = (4-1)/(4+1) = 0.6, tanh(ln 3) = 0.8, tanh(ln 6) = 35/37
    # query ln 2: 10*0.6 + 0 = 6,  10*35/37 + 0.8;  query 0: 0 + 0,  10*0.8 + 0.8 = 8.8
    wanted = torch.tensor([[[6.0, 350 / 37 + 0.8], [0.0, 8.8]]])
    torch.testing.assert_close(score(query, key), wanted)


def test_dot_score_equals_a_loop():
    query, key = draw(B, TQ, DK), draw(B, TK, DK, seed=1)
    wanted = scores_by_loop(lambda q, k: sum(a * b for a, b in zip(q, k, strict=True)), query, key)
    torch.testing.assert_close(dot_score(query, key), wanted)
    torch.testing.assert_close(DotScore()(query, key), wanted)


def test_bilinear_score_equals_a_loop():
    score, query, key = (
        shake(BilinearScore(DQ, DK).double()),
        draw(B, TQ, DQ),
        draw(B, TK, DK, seed=1),
    )
    wanted = scores_by_loop(lambda q, k: q @ score.weight.weight @ k, query, key)
    torch.testing.assert_close(score(query, key), wanted)


def test_additive_score_equals_a_loop_in_both_forms():
    """w·tanh(U q + V k) is w·tanh(W [q; k]) with W = [U V]."""
    score = shake(AdditiveScore(DQ, DK, A).double())
    query, key = draw(B, TQ, DQ), draw(B, TK, DK, seed=1)
    w, u, v, bias = score.score.weight[0], score.query.weight, score.key.weight, score.key.bias
    joined = torch.cat([u, v], dim=1)
    summed = scores_by_loop(lambda q, k: w @ torch.tanh(u @ q + v @ k + bias), query, key)
    concat = scores_by_loop(
        lambda q, k: w @ torch.tanh(joined @ torch.cat([q, k]) + bias), query, key
    )
    torch.testing.assert_close(summed, concat)
    torch.testing.assert_close(score(query, key), summed)


@pytest.mark.parametrize(
    "score",
    [DotScore(), BilinearScore(DK, DK), AdditiveScore(DK, DK, A)],
    ids=lambda s: type(s).__name__,
)
def test_score_with_projected_keys_equals_the_score(score):
    score = shake(score.double())
    query, key = draw(B, TQ, DK), draw(B, TK, DK, seed=1)
    assert score(query, key).shape == (B, TQ, TK)
    torch.testing.assert_close(score.compare(query, score.project_keys(key)), score(query, key))


@pytest.mark.parametrize(
    "score", [dot_score, BilinearScore(DK, DK).double(), AdditiveScore(DK, DK, A).double()]
)
def test_score_of_a_pair_depends_on_that_pair_alone(score):
    query, key = draw(B, TQ, DK), draw(B, TK, DK, seed=1)
    changed_query, changed_key = query.clone(), key.clone()
    changed_query[1, 2], changed_key[0, 3] = 9.0, 9.0
    moved = (score(query, key) != score(changed_query, changed_key)).nonzero().tolist()
    wanted = {(1, 2, k) for k in range(TK)} | {(0, q, 3) for q in range(TQ)}
    assert set(map(tuple, moved)) == wanted


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (dot_score, "equal widths.*BilinearScore"),
        (BilinearScore(DK, DK), f"width {DK} and keys of width {DK}"),
        (AdditiveScore(DK, DK, A), f"width {DK} and keys of width {DK}"),
    ],
)
def test_score_of_wrong_widths_is_an_error(score, message):
    query, key = torch.zeros(B, TQ, DQ), torch.zeros(B, TK, DK)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        score(query, key)


def test_attend_hand_worked():
    scores = torch.tensor([[[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]]).log()
    values = torch.tensor([[[6.0, 0.0], [0.0, 6.0], [12.0, 6.0]]])
    # softmax(ln 1, ln 2, ln 3) = 1/6, 2/6, 3/6: context (1 + 0 + 6, 0 + 2 + 3) = (7, 5)
    # equal scores = 1/3 each: context (2 + 0 + 4, 0 + 2 + 2) = (6, 4)
    context, weights = attend(scores, values)
    torch.testing.assert_close(weights, torch.tensor([[[1 / 6, 2 / 6, 3 / 6], [1 / 3] * 3]]))
    torch.testing.assert_close(context, torch.tensor([[[7.0, 5.0], [6.0, 4.0]]]))
    # without the last key: 1/3, 2/3 and 1/2, 1/2
    context, weights = attend(scores, values, torch.tensor([[[True, True, False]]]))
    torch.testing.assert_close(weights, torch.tensor([[[1 / 3, 2 / 3, 0.0], [0.5, 0.5, 0.0]]]))
    torch.testing.assert_close(context, torch.tensor([[[2.0, 4.0], [3.0, 3.0]]]))


def test_attend_equals_a_loop():
    scores, values = draw(B, TQ, TK), draw(B, TK, 3, seed=1)
    mask = draw(B, TQ, TK, seed=2) > -0.5
    mask[..., 0] = True
    context, weights = attend(scores, values, mask)
    for b in range(B):
        for q in range(TQ):
            real = [k for k in range(TK) if mask[b, q, k]]
            total = sum(math.exp(scores[b, q, k]) for k in real)
            share = [math.exp(scores[b, q, k]) / total if k in real else 0.0 for k in range(TK)]
            assert weights[b, q].tolist() == pytest.approx(share)
            wanted = [sum(share[k] * values[b, k, d].item() for k in range(TK)) for d in range(3)]
            assert context[b, q].tolist() == pytest.approx(wanted)


def test_attend_padding_equals_leaving_the_keys_out():
    scores, values = draw(B, TQ, TK), draw(B, TK, 3, seed=1)
    lengths = [5, 2, 3]
    mask = padding_mask(torch.tensor(lengths))[:, None]
    context, weights = attend(scores * 30, values, mask)
    for b, length in enumerate(lengths):
        alone, its_weights = attend(scores[b : b + 1, :, :length] * 30, values[b : b + 1, :length])
        torch.testing.assert_close(context[b : b + 1], alone)
        torch.testing.assert_close(weights[b : b + 1, :, :length], its_weights)
        assert not weights[b, :, length:].any()


def test_attend_what_stands_in_the_padding_changes_nothing():
    scores, values = draw(B, TQ, TK), draw(B, TK, 3, seed=1)
    mask = padding_mask(torch.tensor([5, 2, 3]))[:, None]
    want = attend(scores, values, mask)
    padding = ~mask.expand_as(scores)
    junk_values = values.masked_fill(~mask[:, 0, :, None], 1e30)
    for junk in (1e30, -1e30, torch.inf, torch.nan):
        found = attend(scores.masked_fill(padding, junk), junk_values, mask)
        assert torch.equal(found[0], want[0]) and torch.equal(found[1], want[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_attend_fully_masked_query_gives_zeros_and_finite_gradients(dtype):
    scores, values = draw(B, TQ, TK).to(dtype), draw(B, TK, 3, seed=1).to(dtype)
    scores.requires_grad_(True)
    values.requires_grad_(True)
    mask = torch.ones(B, TQ, TK, dtype=torch.bool)
    mask[1] = False  # a whole sentence
    mask[2, 1] = False  # one query
    context, weights = attend(scores, values, mask)
    assert not context[1].any() and not weights[1].any()
    assert not context[2, 1].any() and not weights[2, 1].any()
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(TQ, dtype=dtype))
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        context.square().sum().backward()
    assert scores.grad.isfinite().all() and values.grad.isfinite().all()
    assert not scores.grad[1].any() and not values.grad[1].any() and scores.grad[0].any()


def test_attend_weights_are_not_negative_and_sum_to_one_over_keys():
    weights = attend(draw(B, TQ, TK) * 50, draw(B, TK, 3))[1]
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(B, TQ, dtype=torch.float64))


def test_attend_padding_stays_out_where_all_real_scores_are_very_low():
    mask = torch.tensor([[[True, True, False]]])
    for dtype, low in ((torch.float16, -6e4), (torch.float32, -1e30), (torch.float64, -1e300)):
        scores = torch.tensor([[[low, low, 0.0]]], dtype=dtype)
        weights = masked_softmax(scores, mask)
        assert weights.tolist() == [[[0.5, 0.5, 0.0]]]


@pytest.mark.parametrize(
    "mask",
    [torch.tensor(True), causal_mask(TK)[:TQ], padding_mask(torch.tensor([1, 2, TK]))[:, None]],
)
def test_attend_mask_is_broadcast(mask):
    scores, values = draw(B, TQ, TK), draw(B, TK, 3, seed=1)
    whole = mask.expand(B, TQ, TK).clone()
    assert torch.equal(attend(scores, values, mask)[0], attend(scores, values, whole)[0])


def test_attend_equals_torch_scaled_dot_product_attention():
    query, key, values = draw(B, TQ, DK), draw(B, TK, DK, seed=1), draw(B, TK, 3, seed=2)
    mask = padding_mask(torch.tensor([5, 2, 3]))[:, None]
    wanted = nn.functional.scaled_dot_product_attention(
        query, key, values, attn_mask=mask, scale=1.0
    )
    torch.testing.assert_close(attend(dot_score(query, key), values, mask)[0], wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.long, torch.uint8])
def test_attend_mask_that_is_not_boolean_is_an_error(dtype):
    mask = torch.ones(B, TQ, TK, dtype=dtype)
    with as_a_reader(), pytest.raises(TypeError, match=r"boolean.*True = may attend"):
        attend(torch.zeros(B, TQ, TK), torch.zeros(B, TK, 2), mask)


@pytest.mark.parametrize("shape", [(B, TK), (B, TQ, TK + 1), (B + 1, TQ, TK), (1, B, TQ, TK)])
def test_attend_mask_of_a_wrong_shape_is_an_error(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    with as_a_reader(), pytest.raises(ValueError, match=r"mask\[:, None, :\]"):
        attend(torch.zeros(B, TQ, TK), torch.zeros(B, TK, 2), mask)


def test_attend_values_of_another_number_are_an_error():
    with as_a_reader(), pytest.raises(ValueError, match=r"5 keys, values \(3, 4, 2\)"):
        attend(torch.zeros(B, TQ, TK), torch.zeros(B, TK - 1, 2))


def test_masked_softmax_takes_heads():
    scores = draw(B, 2, TQ, TK)
    mask = padding_mask(torch.tensor([5, 2, 3]))[:, None, None]
    found = masked_softmax(scores, mask)
    torch.testing.assert_close(found[:, 1], masked_softmax(scores[:, 1], mask[:, 0]))
