"""The transformer's blocks: equal to torch's, with their gradients; caches; wrong choices."""

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from test_multihead import as_torch, draw
from torch import nn

from course_utils.blocks import (
    DecoderBlock,
    EncoderBlock,
    FeedForward,
    Residual,
    RotaryAttention,
)
from course_utils.cache import KeyValueCache
from course_utils.embeddings import RotaryPositions
from course_utils.masks import attention_mask, causal_mask, padding_mask

one_thread = helpers.one_thread
B, H, T, S, D, F = 3, 2, 4, 5, 6, 10
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SOURCE, TARGET = torch.tensor([2, 5, 1]), torch.tensor([4, 1, 3])
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)
both_norms = pytest.mark.parametrize("norm", ["pre", "post"])
every_activation = pytest.mark.parametrize("activation", ["relu", "gelu"])
both_paths = pytest.mark.parametrize("need_weights", [True, False])


def make(kind, dtype=torch.float64, **choices):
    return shake(kind(D, H, F, **choices), std=0.3).to(dtype).eval()


def torch_parts(ours, theirs):
    """Pairs of (our module, torch's) in a block; attentions come as their copy."""
    residuals = [r for r in (*ours.children(),) if hasattr(r, "pre")]
    norms = [theirs.norm1, theirs.norm2, getattr(theirs, "norm3", None)]
    pairs = list(zip([r.norm for r in residuals], norms, strict=False))
    feed_forward = ours.feed_forward
    return [*pairs, (feed_forward.inner, theirs.linear1), (feed_forward.outer, theirs.linear2)]


def as_torch_block(ours, activation):
    """torch's layer with our weights."""
    decoder, attention = isinstance(ours, DecoderBlock), ours.attention
    kind = nn.TransformerDecoderLayer if decoder else nn.TransformerEncoderLayer
    width, inner = ours.feed_forward.outer.out_features, ours.feed_forward.inner.out_features
    choices = {"batch_first": True, "norm_first": ours.around_attention.pre}
    theirs = kind(width, attention.num_heads, inner, 0.0, activation, **choices)
    theirs = theirs.to(ours.feed_forward.inner.weight.dtype)
    theirs.self_attn.load_state_dict(as_torch(ours.attention).state_dict())
    if decoder:
        theirs.multihead_attn.load_state_dict(as_torch(ours.cross_attention).state_dict())
    for mine, its in torch_parts(ours, theirs):
        its.load_state_dict(mine.state_dict())
    return theirs


def gradients(output, inputs, ours, theirs, which):
    """Gradients of inputs and of every weight, in one order for both."""
    pull = draw(*output.shape, seed=9, dtype=output.dtype)
    names = [("attention", "self_attn"), ("cross_attention", "multihead_attn")]
    attentions = [(getattr(ours, a), getattr(theirs, b)) for a, b in names if hasattr(ours, a)]
    parameters = [pair[which] for pair in torch_parts(ours, theirs)]
    weights = [p for module in parameters for p in module.parameters()]
    for mine, its in attentions:
        weights += [
            [mine.query.weight, mine.key.weight, mine.value.weight, mine.output.weight],
            [its.in_proj_weight, its.out_proj.weight],
        ][which]
    found = torch.autograd.grad((output * pull).sum(), [*inputs, *weights])
    return [*found[: len(inputs)], torch.cat([g.flatten() for g in found[len(inputs) :]])]


def assert_equal(ours, theirs, output, wanted, inputs, dtype):
    tolerance = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(output, wanted, **tolerance)
    found = gradients(output, inputs, ours, theirs, 0)
    others = gradients(wanted, inputs, ours, theirs, 1)
    for mine, its in zip(found, others, strict=True):
        torch.testing.assert_close(mine, its, **tolerance)


@every_dtype
@both_norms
@every_activation
@both_paths
@pytest.mark.parametrize("causal", [False, True])
def test_encoder_block_equals_torch(dtype, norm, activation, need_weights, causal):
    ours = make(EncoderBlock, dtype, norm=norm, activation=activation)
    theirs = as_torch_block(ours, activation)
    x, real = draw(B, S, D, dtype=dtype).requires_grad_(), padding_mask(SOURCE)
    output, weights = ours(x, attention_mask(real, causal=causal), need_weights=need_weights)
    shut = ~causal_mask(S) if causal else None
    wanted = theirs(x, src_mask=shut, src_key_padding_mask=~real)
    assert_equal(ours, theirs, output, wanted, [x], dtype)
    assert (weights.shape == (B, H, S, S)) if need_weights else weights is None


@every_dtype
@both_norms
@every_activation
@both_paths
def test_decoder_block_equals_torch(dtype, norm, activation, need_weights):
    ours = make(DecoderBlock, dtype, norm=norm, activation=activation)
    theirs = as_torch_block(ours, activation)
    x, memory = (
        draw(B, n, D, seed=seed, dtype=dtype).requires_grad_() for seed, n in enumerate((T, S))
    )
    source, target = padding_mask(SOURCE), padding_mask(TARGET)
    masks = attention_mask(target, causal=True), attention_mask(source)
    output, weights, cross = ours(x, memory, *masks, need_weights=need_weights)
    shut = {"tgt_key_padding_mask": ~target, "memory_key_padding_mask": ~source}
    wanted = theirs(x, memory, tgt_mask=~causal_mask(T), **shut)
    assert_equal(ours, theirs, output, wanted, [x, memory], dtype)
    if need_weights:
        assert weights.shape == (B, H, T, T) and cross.shape == (B, H, T, S)
    else:
        assert weights is None and cross is None


def test_feed_forward_hand_worked():
    network = FeedForward(1, 2)
    with torch.no_grad():
        network.inner.weight.copy_(torch.tensor([[2.0], [-1.0]]))
        network.inner.bias.copy_(torch.tensor([1.0, 0.0]))
        network.outer.weight.copy_(torch.tensor([[1.0, 10.0]]))
        network.outer.bias.copy_(torch.tensor([0.5]))
    # 3: relu(7, -3) -> 7 + 0.5;  -3: relu(-5, 3) -> 30 + 0.5
    assert network(torch.tensor([[[3.0], [-3.0]]])).tolist() == [[[7.5], [30.5]]]


def test_feed_forward_activations_differ():
    networks = {name: FeedForward(D, F, activation=name) for name in ("relu", "gelu", "gelu_tanh")}
    x, found = draw(B, T, D).float(), {}
    for name, network in networks.items():
        found[name] = shake(network)(x)
    torch.testing.assert_close(found["gelu"], found["gelu_tanh"], atol=5e-3, rtol=0)
    assert not torch.equal(found["gelu"], found["gelu_tanh"])
    assert not torch.allclose(found["gelu"], found["relu"], atol=1e-2)


def test_feed_forward_drops_between_the_activation_and_the_second_layer():
    torch.manual_seed(0)
    network, x = shake(FeedForward(D, D, activation="gelu", dropout=0.5)), draw(B, T, D).float()
    with torch.no_grad():
        network.outer.weight.copy_(torch.eye(D))
        found = network(x) - network.outer.bias
        wanted = 2 * nn.functional.gelu(network.inner(x))  # twice, as half of them are dropped
    dropped, kept = found.abs() < 1e-5, torch.isclose(found, wanted, atol=1e-5)
    assert (dropped | kept).all() and not dropped.all() and not kept.all()


@both_norms
def test_residual_norms_in_its_place_and_drops_nothing_of_what_was_there(norm):
    around, x = Residual(D, norm, 0.5, 1e-5), draw(B, T, D).float()
    normed = nn.functional.layer_norm(x, (D,))
    read, added = (normed, x) if norm == "pre" else (x, normed)
    torch.testing.assert_close(around.read(x), read)
    torch.testing.assert_close(around.add(x, torch.zeros_like(x)), added)


@both_norms
@pytest.mark.parametrize("sizes", [[1] * T, [2, 2], [3, 1]])
def test_blocks_with_a_cache_equal_reading_at_once(norm, sizes):
    x, memory = draw(B, T, D), draw(B, S, D, seed=1)
    memory_mask = attention_mask(padding_mask(SOURCE))
    encoder, decoder = make(EncoderBlock, norm=norm), make(DecoderBlock, norm=norm)
    whole = encoder(x, causal_mask(T))[0], decoder(x, memory, causal_mask(T), memory_mask)[0]
    own, both, parts, start = KeyValueCache(), decoder.new_cache(), [], 0
    for size in sizes:
        new, mask = x[:, start : start + size], causal_mask(size, offset=start)
        one = encoder(new, mask, own)[0]
        parts.append((one, decoder(new, memory, mask, memory_mask, both)[0]))
        start += size
    for found, wanted in zip(zip(*parts, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.cat(found, dim=1), wanted)


@pytest.mark.parametrize("kind", [EncoderBlock, DecoderBlock])
def test_dropout_acts_in_every_place_and_in_training_only(kind):
    block, inputs = make(kind, dropout=0.5), [draw(B, T, D)] * (2 if kind is DecoderBlock else 1)
    assert torch.equal(block(*inputs)[0], block(*inputs)[0])
    places = [m for m in block.modules() if getattr(m, "dropout", None) is not None]
    assert len(places) == (6 if kind is DecoderBlock else 4)  # attentions, inner, residuals
    for place in places:
        block.eval()
        place.train()
        assert not torch.allclose(block(*inputs)[0], block(*inputs)[0])


@pytest.mark.parametrize("kind", [EncoderBlock, DecoderBlock])
@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"norm": "middle"}, 'norm is "pre" or "post", got \'middle\''),
        ({"activation": "sine"}, "activation is one of .*'relu', 'gelu'.* got 'sine'"),
        ({"num_heads": 4}, "got d_model=6, num_heads=4"),
    ],
)
def test_wrong_choices_are_an_error(kind, choices, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        kind(**{"d_model": D, "num_heads": H, "d_ff": F} | choices)


def test_norm_eps_reaches_every_norm():
    block = DecoderBlock(D, H, F, norm_eps=1e-12)
    assert {m.eps for m in block.modules() if isinstance(m, nn.LayerNorm)} == {1e-12}


# ---- rotary positions


def make_rotary(**choices):
    attention = RotaryAttention(8, H, RotaryPositions(4, 12), **choices)
    return shake(attention, std=0.5).double().eval()


@both_paths
def test_rotary_attention_by_hand(need_weights):
    attention, x = make_rotary(), draw(B, T, 8)
    mask = attention_mask(padding_mask(TARGET))
    found, weights = attention(x, x, x, mask, need_weights=need_weights)
    projected = attention.query(x), attention.key(x), attention.value(x)
    mixed = []
    for head in range(H):
        query, key, value = (part[..., 4 * head : 4 * head + 4] for part in projected)
        scores = attention.rotary(query) @ attention.rotary(key).mT / 2
        scores = scores.masked_fill(~mask[:, 0], -torch.inf).softmax(-1)
        mixed.append(scores @ value)
        if need_weights:
            torch.testing.assert_close(weights[:, head], scores)
    torch.testing.assert_close(found, attention.output(torch.cat(mixed, dim=-1)))
    assert (weights is None) != need_weights


@pytest.mark.parametrize("sizes", [[1] * T, [2, 2], [3, 1]])
def test_rotary_block_with_a_cache_equals_reading_at_once(sizes):
    block = shake(EncoderBlock(8, H, F, rotary=RotaryPositions(4, 12)), std=0.3).double().eval()
    x, cache, parts, start = draw(B, T, 8), KeyValueCache(), [], 0
    for size in sizes:
        new, mask = x[:, start : start + size], causal_mask(size, offset=start)
        parts.append(block(new, mask, cache)[0])
        start += size
    whole = block(x, causal_mask(T))[0]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    plain = EncoderBlock(8, H, F).double().eval()
    plain.load_state_dict(block.state_dict())  # the same weights, another function
    assert not torch.allclose(plain(x, causal_mask(T))[0], whole, atol=1e-2)


@both_paths
def test_rotary_attention_drops_in_training_only(need_weights):
    attention, x = make_rotary(dropout=0.5), draw(B, T, 8)
    same = attention(x, x, x, need_weights=need_weights)[0]
    assert torch.equal(attention(x, x, x, need_weights=need_weights)[0], same)
    attention.train()
    assert not torch.allclose(attention(x, x, x, need_weights=need_weights)[0], same)
