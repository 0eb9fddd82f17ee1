"""What is special to the checks of lesson 2; what all checks share is in test_exercises.py."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from answers_transformer import Four, heads_fused
from helpers import one_thread, shake  # noqa: F401
from torch import nn

from course_utils import attention, blocks, embeddings
from course_utils.exercises import transformer_solutions as solutions
from course_utils.exercises.checking import Mistake, exercises, find
from course_utils.exercises.random_layers import torch_layer
from course_utils.exercises.variants import two_at_once, variants
from course_utils.masks import attention_mask, padding_mask

LESSON = exercises("02")


# ---- the solutions are the package's functions


def test_attention_solution_equals_the_package():
    query, key, value = torch.randn(3, 4, 6), torch.randn(3, 5, 6), torch.randn(3, 5, 2)
    mask = padding_mask(torch.tensor([5, 2, 3]))[:, None]
    own = solutions.attention(query, key, value, mask)
    torch.testing.assert_close(own, attention.scaled_dot_product(query, key, value, mask))


def test_positions_solution_equals_the_package():
    torch.testing.assert_close(solutions.positions(50, 12), embeddings.sinusoidal_table(50, 12))


def test_multi_head_solution_equals_the_package():
    heads = shake(attention.MultiHeadAttention(12, 3))
    query, key, value = torch.randn(2, 4, 12), torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    mask = padding_mask(torch.tensor([5, 2]))[:, None]
    own = solutions.multi_head(query, key, value, heads, 3, mask)
    torch.testing.assert_close(own, heads(query, key, value, mask[:, None])[0])


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_encoder_block_solution_equals_the_package(norm):
    block = shake(blocks.EncoderBlock(12, 3, 20, norm=norm))
    mask = padding_mask(torch.tensor([5, 2]))[:, None]
    layers = SimpleNamespace(
        attention=lambda q, k, v, mask: block.attention(q, k, v, mask[:, None])[0],
        feed_forward=block.feed_forward,
        norm1=block.around_attention.norm,
        norm2=block.around_feed_forward.norm,
    )
    x = torch.randn(2, 5, 12)
    own = solutions.encoder_block(x, mask, layers, norm)
    torch.testing.assert_close(own, block(x, mask[:, None])[0])


def layers_of(block):
    """The package's block under the names of exercise 02.5."""
    named = {"inner": block.feed_forward.inner, "outer": block.feed_forward.outer}
    for part, heads in (("self", block.attention), ("cross", block.cross_attention)):
        for name in ("query", "key", "value", "output"):
            named[f"{part}_{name}"] = getattr(heads, name)
    around = block.around_attention, block.around_cross_attention, block.around_feed_forward
    return SimpleNamespace(**named, **{f"norm{k + 1}": r.norm for k, r in enumerate(around)})


def test_decoder_layer_solution_equals_the_package_and_torch():
    block = shake(blocks.DecoderBlock(12, 3, 20, norm="post")).requires_grad_(False)
    x, memory = torch.randn(3, 4, 12), torch.randn(3, 5, 12)
    mask = padding_mask(torch.tensor([5, 2, 1]))[:, None]
    causal = attention_mask(torch.ones(3, 4, dtype=torch.bool), causal=True)
    own = solutions.decoder_layer(x, memory, mask, layers_of(block), 3)
    package = block(x, memory, causal, mask[:, None])[0]
    torch.testing.assert_close(own, package, rtol=1e-4, atol=1e-5)
    reference = torch_layer(x, memory, mask, layers_of(block), 3)
    torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-5)


def test_decoder_layer_is_judged_by_torch():
    judge = find("02.5").judge
    assert judge.solution is torch_layer
    x, memory, mask, layers, num_heads = judge.cases()[2]
    layer = nn.TransformerDecoderLayer(12, num_heads, 20, dropout=0.0, batch_first=True)
    before = torch_layer(x, memory, mask, layers, num_heads)
    assert before.shape == layer(x, memory).shape  # drawn weights: only the shapes are alike
    later = x.clone()
    later[:, -1] += 1.0
    after = torch_layer(later, memory, mask, layers, num_heads)
    torch.testing.assert_close(after[:, :-1], before[:, :-1])
    assert not torch.allclose(after[:, -1], before[:, -1])


# ---- two mistakes at once


def one_of_each_hint(mistakes):
    """The first way of each hint, those in one attention alone left out."""
    common = [m for m in mistakes if not m.hint.startswith(("in self-", "in cross-"))]
    return [*{m.hint: m for m in reversed(common)}.values()]


@pytest.mark.slow
@pytest.mark.parametrize("exercise", LESSON, ids=lambda exercise: exercise.name)
def test_every_two_mistakes_at_once_get_a_hint_that_names_one(exercise):
    known = [m.hint for m in exercise.mistakes]
    some = one_of_each_hint(exercise.mistakes)
    some = some[:: 1 + len(some) // 6]
    seen = 0
    for first, second in combinations(some, 2):
        a, b = first.answer, second.answer
        if a.keywords.keys() & b.keywords:
            continue

        def both(*inputs, a=a, b=b):
            return a.func(*inputs, **a.keywords, **b.keywords)

        hint = exercise.judge(both, exercise.mistakes)
        seen += 1
        # None: one of the two takes the other back.
        assert hint is None or "your function raised" in hint or any(h in hint for h in known)
    assert seen >= 5


@pytest.mark.parametrize("exercise", LESSON, ids=lambda exercise: exercise.name)
def test_nan_is_named(exercise):
    def nothing(*inputs):
        result = exercise.judge.solution(*inputs)
        whole = isinstance(result, torch.Tensor)
        return result * torch.nan if whole else tuple(x * torch.nan for x in result)

    assert "NaN" in exercise.judge(nothing, exercise.mistakes)


@pytest.mark.parametrize("exercise", LESSON, ids=lambda exercise: exercise.name)
def test_wrong_shape_is_named(exercise):
    def longer(*inputs):
        result = exercise.judge.solution(*inputs)
        outputs = (result,) if isinstance(result, torch.Tensor) else result
        outputs = tuple(torch.cat([x, x]) for x in outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    hint = exercise.judge(longer, exercise.mistakes)
    assert "has the shape" in hint and "expected" in hint


def count(x, *, plus=0.0, times=1.0):
    return x * times + plus


def test_two_mistakes_are_named_together():
    mistakes = variants(count, ("plus one?", {"plus": 1.0}), ("twice?", {"times": 2.0}))
    one = torch.ones(2, dtype=torch.float64)
    diagnose = two_at_once(mistakes, otherwise=lambda *_: "something else?")
    assert diagnose((one,), (3 * one,), (one,)) == (
        "two things at once. First: plus one? Second: twice?"
    )
    assert diagnose((one,), (4 * one,), (one,)) == "something else?"
    assert two_at_once(mistakes)((one,), (4 * one,), (one,)) is None
    assert diagnose((one,), (one * torch.nan,), (one,)) == "something else?"


def test_mistakes_that_exchange_the_same_part_are_not_put_together():
    mistakes = variants(count, ("plus one?", {"plus": 1.0}), ("plus two?", {"plus": 2.0}))
    other = (*mistakes, Mistake("own?", lambda x: x + 5.0))
    one = torch.ones(2, dtype=torch.float64)
    for wrong in (2.0, 3.0, 4.0, 6.0):
        assert two_at_once(other)((one,), (wrong * one,), (one,)) is None


# ---- what readers can do with the layers


def test_layers_by_name_of_the_package_work_too():
    heads = shake(attention.MultiHeadAttention(8, 2))
    x, mask = torch.randn(3, 4, 8), torch.ones(1, 1, 4, dtype=torch.bool)
    own = heads_fused(x, x, x, heads, 2, mask)
    torch.testing.assert_close(own, heads(x, x, x)[0], rtol=1e-4, atol=1e-5)


def test_changed_tensors_do_not_change_the_next_check():
    for name in ("02.3", "02.4", "02.5"):
        cases = find(name).judge.cases
        first = cases()
        for inputs in first:
            inputs[0].zero_()
        assert all(inputs[0].abs().sum() > 0 for inputs in cases())


def test_weights_of_the_cases_need_no_gradient():
    layers = find("02.5").judge.cases()[0][3]
    assert not any(p.requires_grad for layer in vars(layers).values() for p in layer.parameters())
    assert not Four(layers, "self").query.weight.requires_grad
