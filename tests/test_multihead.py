"""Scaled dot-product and multi-head attention: worked by hand, equal to torch's, masks, caches."""

import math

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from torch import nn

from course_utils.attention import MultiHeadAttention, scaled_dot_product
from course_utils.cache import KeyValueCache
from course_utils.masks import attention_mask, causal_mask, padding_mask

one_thread = helpers.one_thread
B, H, TQ, TK, D = 3, 2, 4, 5, 6
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
both_paths = pytest.mark.parametrize("need_weights", [True, False])


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def draw_mask(*shape, seed=0):
    """A random mask in which every query has a key."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    mask[..., 0] |= ~mask.any(dim=-1)
    return mask


def make(dtype=torch.float64, seed=0, **choices):
    return shake(MultiHeadAttention(D, H, **choices), seed).to(dtype).eval()


def as_torch(ours):
    """torch's module with our weights."""
    theirs = nn.MultiheadAttention(
        ours.output.out_features,
        ours.num_heads,
        dropout=ours.dropout,
        bias=ours.query.bias is not None,
        batch_first=True,
    ).to(ours.query.weight.dtype)
    parts = [ours.query, ours.key, ours.value]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        if ours.query.bias is not None:
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            theirs.out_proj.bias.copy_(ours.output.bias)
    return theirs.train(ours.training)


def test_scaled_dot_product_hand_worked():
    # D = 4, scores of query 1: (4, 0) / 2 = (2, 0); of query 2: (0, 2 ln 3) / 2 = (0, ln 3)
    query = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, math.log(3.0), 0.0, 0.0]])
    key = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    output, weights = scaled_dot_product(query, key, torch.tensor([[1.0, 0.0], [0.0, 8.0]]))
    first = 1 / (1 + math.exp(-2.0))
    wanted = torch.tensor([[first, 1 - first], [0.25, 0.75]])
    torch.testing.assert_close(weights, wanted)
    torch.testing.assert_close(output, wanted * torch.tensor([1.0, 8.0]))


@both_paths
def test_scaled_dot_product_scale_is_one_over_the_root_of_the_width(need_weights):
    inputs = draw(B, TQ, 9), draw(B, TK, 9, seed=1), draw(B, TK, 2, seed=2)
    output, _ = scaled_dot_product(*inputs, need_weights=need_weights)
    same, other = (
        scaled_dot_product(*inputs, scale=scale, need_weights=need_weights)[0]
        for scale in (1 / 3, 1.0)
    )
    torch.testing.assert_close(output, same)
    assert not torch.allclose(output, other)


@pytest.mark.parametrize("axes", [(), (B,), (B, H), (2, B, H)])
def test_scaled_dot_product_takes_any_leading_axes(axes):
    query, key, value = draw(*axes, TQ, D), draw(*axes, TK, D, seed=1), draw(*axes, TK, 3, seed=2)
    mask = draw_mask(*axes, TQ, TK)
    output, weights = scaled_dot_product(query, key, value, mask)
    fused = nn.functional.scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(output, fused)
    assert weights.shape == (*axes, TQ, TK) and not weights[~mask].any()


def test_scaled_dot_product_drops_weights_but_gives_them_whole():
    torch.manual_seed(0)
    query, key, value = draw(2, TQ, D), draw(2, 400, D, seed=1), torch.ones(2, 400, 1).double()
    output, weights = scaled_dot_product(query, key, value, dropout=0.5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, TQ).double())
    assert (output - 1).abs().max() > 1e-3  # the weights in the sum are not whole
    assert output.mean().item() == pytest.approx(1.0, abs=0.2)


def test_scaled_dot_product_drops_weights_and_not_values():
    """A value is left out with all its columns, and each query leaves out others."""
    torch.manual_seed(0)
    query, key, value = draw(1, D).repeat(TQ, 1), draw(40, D, seed=1), draw(40, 1, seed=2)
    output, _ = scaled_dot_product(query, key, value.repeat(1, 3), dropout=0.5)
    torch.testing.assert_close(output, output[:, :1].repeat(1, 3))
    assert not torch.isclose(output[0], output[1:]).any()


@pytest.mark.parametrize(
    ("query", "key", "value"), [((2, 3), (4, 5), (4, 5)), ((2, 3), (4, 3), (5, 3))]
)
def test_scaled_dot_product_shapes_that_do_not_fit_are_an_error(query, key, value):
    with as_a_reader(), pytest.raises(ValueError, match=r"got query \(2, 3\), key \(4, .\)"):
        scaled_dot_product(draw(*query), draw(*key), draw(*value))


def test_multi_head_attention_hand_worked():
    """Two heads of width 1: each mixes its own column with its own weights."""
    attention = MultiHeadAttention(2, 2, bias=False)
    with torch.no_grad():
        for projection in (attention.query, attention.key, attention.value):
            projection.weight.copy_(torch.eye(2))
        attention.output.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))  # exchange the heads
    query, key = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[math.log(3.0), 5.0], [0.0, 7.0]]])
    output, weights = attention(query, key, torch.tensor([[[4.0, 10.0], [8.0, 20.0]]]))
    # head 1: softmax(ln 3, 0) = (3/4, 1/4), 4 * 3/4 + 8 / 4 = 5;  head 2: (1/2, 1/2), 15
    torch.testing.assert_close(weights, torch.tensor([[[[0.75, 0.25]], [[0.5, 0.5]]]]))
    torch.testing.assert_close(output, torch.tensor([[[15.0, 5.0]]]))


@every_dtype
@both_paths
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", ["not", "padding", "causal", "random"])
def test_multi_head_attention_equals_torch(dtype, need_weights, bias, masked):
    ours = make(dtype, bias=bias)
    theirs, tolerance = as_torch(ours), {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    length = TK if masked == "causal" else TQ
    inputs = [
        draw(B, n, D, seed=seed, dtype=dtype).requires_grad_()
        for seed, n in enumerate((length, TK, TK))
    ]
    mask = {
        "not": None,
        "padding": attention_mask(padding_mask(torch.tensor([2, 5, 1]))),
        "causal": causal_mask(TK),
        "random": draw_mask(B, H, length, TK),
    }[masked]
    shut = None if mask is None else ~mask.expand(B, H, length, TK).reshape(B * H, length, TK)
    output, weights = ours(*inputs, mask, need_weights=need_weights)
    wanted, their_weights = theirs(*inputs, attn_mask=shut, average_attn_weights=False)
    torch.testing.assert_close(output, wanted, **tolerance)
    if need_weights:
        torch.testing.assert_close(weights, their_weights, **tolerance)
    else:
        assert weights is None
    pull = draw(*output.shape, seed=9, dtype=dtype)
    names = ["query", "key", "value", "output"]
    parameters = [getattr(ours, name).weight for name in names]
    found = torch.autograd.grad((output * pull).sum(), [*inputs, *parameters])
    others = [*inputs, theirs.in_proj_weight, theirs.out_proj.weight]
    *of_inputs, packed, last = torch.autograd.grad((wanted * pull).sum(), others)
    for ours_, theirs_ in zip(found, [*of_inputs, *packed.chunk(3), last], strict=True):
        torch.testing.assert_close(ours_, theirs_, **tolerance)


@every_dtype
@pytest.mark.parametrize("shape", [None, (B, H, TQ, TK), (B, 1, 1, TK), (TQ, TK)])
def test_both_paths_are_equal_also_where_everything_is_masked(dtype, shape):
    attention, tolerance = make(dtype), {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    inputs = [
        draw(B, n, D, seed=seed, dtype=dtype).requires_grad_()
        for seed, n in enumerate((TQ, TK, TK))
    ]
    mask = None
    if shape is not None:
        mask = draw_mask(*shape)
        mask[(0,) * (len(shape) - 1)] = False
    results = []
    for need_weights in (True, False):
        output, _ = attention(*inputs, mask, need_weights=need_weights)
        gradients = torch.autograd.grad(
            (output * draw(*output.shape, seed=9, dtype=dtype)).sum(),
            [*inputs, *attention.parameters()],
        )
        results.append([output, *gradients])
    for ours, fused in zip(*results, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, fused, **tolerance)


@both_paths
@every_dtype
def test_fully_masked_row_gives_zeros(dtype, need_weights):
    attention = make(dtype)
    mask = draw_mask(B, 1, TQ, TK)
    mask[1, 0, 2], mask[2] = False, False
    inputs = [draw(B, n, D, seed=seed, dtype=dtype) for seed, n in enumerate((TQ, TK, TK))]
    output, weights = attention(*inputs, mask, need_weights=need_weights)
    for row, query in ((1, 2), (2, 0), (2, 3)):  # nothing but the last bias is left
        torch.testing.assert_close(output[row, query], attention.output.bias)
        assert weights is None or not weights[row, :, query].any()
    assert not torch.allclose(output[1, 1], attention.output.bias)


@both_paths
def test_dropout_is_for_training_only(need_weights):
    torch.manual_seed(0)
    attention, x = make(dropout=0.5), draw(B, TK, D)
    first, second = (attention(x, x, x, need_weights=need_weights)[0] for _ in range(2))
    assert torch.equal(first, second)
    attention.train()
    first, second = (attention(x, x, x, need_weights=need_weights)[0] for _ in range(2))
    assert not torch.allclose(first, second)


def test_heads_see_their_own_part_of_the_width():
    """A change in the second head's part of a key moves the second head's weights only."""
    attention, x = make(), draw(B, TK, D)
    before = attention(x, x, x)[1]
    with torch.no_grad():
        attention.key.weight[D // 2 :] += 1.0
    after = attention(x, x, x)[1]
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_order_of_the_keys_does_not_matter_and_that_of_the_queries_is_kept():
    attention, query, key = make(), draw(B, TQ, D), draw(B, TK, D, seed=1)
    order, others = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 3, 1])
    output, weights = attention(query, key, key)
    shuffled, their_weights = attention(query[:, others], key[:, order], key[:, order])
    torch.testing.assert_close(shuffled, output[:, others])
    torch.testing.assert_close(their_weights, weights[:, :, others][..., order])


@both_paths
@pytest.mark.parametrize("sizes", [[1] * TK, [2, 3], [4, 1]])
@pytest.mark.parametrize("padded", [False, True])
def test_cache_of_self_attention_equals_reading_at_once(need_weights, sizes, padded):
    attention, x, cache = make(), draw(B, TK, D), KeyValueCache()
    real = padding_mask(torch.tensor([5, 2, 1])).flip(1)  # left padding: what a GPT is given
    mask = attention_mask(real, causal=True) if padded else causal_mask(TK)
    wanted, all_weights = attention(x, x, x, mask)
    parts, start = [], 0
    for size in sizes:
        new, end = x[:, start : start + size], start + size
        now = mask[..., start:end, :end]
        output, weights = attention(new, new, new, now, cache, need_weights=need_weights)
        if need_weights:
            torch.testing.assert_close(weights, all_weights[:, :, start:end, :end])
        parts.append(output)
        start = end
    torch.testing.assert_close(torch.cat(parts, dim=1), wanted)


@both_paths
def test_cache_of_cross_attention_projects_the_memory_once(need_weights):
    attention, query, memory = make(), draw(B, TQ, D), draw(B, TK, D, seed=1)
    mask = attention_mask(padding_mask(torch.tensor([5, 2, 1])))
    wanted, _ = attention(query, memory, memory, mask)
    cache, calls, parts = KeyValueCache(fixed=True), [], []
    attention.key.register_forward_hook(lambda *_: calls.append("key"))
    attention.value.register_forward_hook(lambda *_: calls.append("value"))
    for word in query.split(1, dim=1):
        parts.append(attention(word, memory, memory, mask, cache, need_weights=need_weights)[0])
    torch.testing.assert_close(torch.cat(parts, dim=1), wanted)
    assert calls == ["key", "value"] and cache.length == TK


@pytest.mark.parametrize(("width", "heads"), [(6, 4), (6, 0), (6, -2), (4, 8)])
def test_width_that_the_heads_do_not_share_is_an_error(width, heads):
    message = f"got d_model={width}, num_heads={heads}"
    with as_a_reader(), pytest.raises(ValueError, match=message):
        MultiHeadAttention(width, heads)


@both_paths
@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.zeros(B, 1, 1, TK), TypeError, r"boolean \(True = may attend\), got torch.float32"),
        (torch.ones(B, TK).bool(), ValueError, r"\(3, 2, 4, 5\) .*, got \(3, 5\); attention_mask"),
        (torch.ones(B, TQ, TK).bool(), ValueError, r"got \(3, 4, 5\)"),
        (torch.ones(B, 1, 1, TK + 1).bool(), ValueError, r"got \(3, 1, 1, 6\)"),
    ],
)
def test_wrong_mask_is_an_error_on_both_paths(mask, error, message, need_weights):
    x, memory = draw(B, TQ, D), draw(B, TK, D)
    with as_a_reader(), pytest.raises(error, match=message):
        make()(x, memory, memory, mask, need_weights=need_weights)


@both_paths
def test_keys_without_their_values_are_an_error_on_both_paths(need_weights):
    x = draw(B, TK, D)
    with (
        as_a_reader(),
        pytest.raises(ValueError, match=r"key \(3, 2, 5, 3\) .* value \(3, 2, 4, 3\)"),
    ):
        make()(x, x, x[:, :4], need_weights=need_weights)
