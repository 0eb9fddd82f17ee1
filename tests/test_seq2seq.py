"""The sequence-to-sequence model: configuration, bad input, and that it learns."""

import dataclasses
import random

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from torch import nn

from course_utils.attention import AdditiveScore, BilinearScore, DotScore
from course_utils.batching import LengthBatches, pair_batch
from course_utils.losses import translation_loss
from course_utils.models.seq2seq import Seq2Seq, Seq2SeqConfig
from course_utils.training import fit

one_thread = helpers.one_thread
SIZES = {"source_vocab": 9, "target_vocab": 9, "d_embedding": 6, "d_encoder": 4, "d_hidden": 8}
BOS, EOS = 1, 2


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"attention": "cosine"}, "attention is \"additive\", .* got 'cosine'"),
        ({"order": "vaswani"}, 'order is "bahdanau" or "luong", got \'vaswani\''),
        ({"attention": None}, 'use order="luong"'),
        ({"attention": "dot", "d_hidden": 7}, r"d_hidden == 2 \* d_encoder, got 7"),
    ],
)
def test_config_wrong_choices_are_an_error(choices, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        Seq2SeqConfig(**SIZES | choices)


def test_config_is_frozen_and_has_names_only():
    config = Seq2SeqConfig(**SIZES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dropout = 0.5
    with pytest.raises(TypeError):
        Seq2SeqConfig(9, 9)


@pytest.mark.parametrize(
    ("source", "mask", "message"),
    [
        ([[4, 5]], [[1, 1, 1]], r"\(1, 2\), got \(1, 3\)"),
        ([[4, 5], [0, 0]], [[1, 1], [0, 0]], "a sentence is empty"),
        ([[4, 5], [0, 4]], [[1, 1], [0, 1]], "padding is on the left: pad on the right"),
        ([[4, 0, 5]], [[1, 0, 1]], "has a gap"),
        ([[]], [[]], "a sentence is empty"),
    ],
)
def test_encode_bad_masks_are_an_error(source, mask, message):
    model = Seq2Seq(Seq2SeqConfig(**SIZES))
    source, mask = torch.tensor(source).long(), torch.tensor(mask).bool()
    with as_a_reader(), pytest.raises(ValueError, match=message):
        model(source, mask, torch.ones(len(source), 1).long())
    with as_a_reader(), pytest.raises(ValueError, match=message):
        model.generate(source, mask)


def test_encode_empty_batch_is_an_error():
    model = Seq2Seq(Seq2SeqConfig(**SIZES))
    empty = torch.ones(0, 3).long()
    with pytest.raises(ValueError, match="empty batch"):
        model.encode(empty, empty.bool())


@pytest.mark.parametrize("search", [{"num_beams": 0}, {"max_length": 0}])
def test_generate_wrong_arguments_are_an_error(search):
    model = Seq2Seq(Seq2SeqConfig(**SIZES))
    with pytest.raises(ValueError, match="is 1 or more, got 0"):
        model.generate(torch.tensor([[4]]), torch.tensor([[True]]), **search)


def test_special_tokens_come_from_the_configuration():
    ids = {"pad_id": 8, "bos_id": 7, "eos_id": 6}
    model = Seq2Seq(Seq2SeqConfig(**SIZES, **ids, dropout=0.0)).eval()
    assert not model.source_embedding.weight[8].any()
    source, mask = torch.tensor([[4, 5]]), torch.ones(1, 2).bool()
    logits, _ = model(source, mask, torch.tensor([[7]]))
    with torch.no_grad():
        model.output_bias[6] = 100.0
    found = model.generate(source, mask, max_length=3)
    assert found.ids == [[]] and logits.shape == (1, 1, 9)
    with torch.no_grad():
        model.output_bias[6] = -100.0
    first = logits[0, 0].detach().clone()
    first[6] = -100.0
    assert model.generate(source, mask, max_length=1).ids == [[int(first.argmax())]]


@pytest.mark.parametrize(
    ("attention", "kind"),
    [("additive", AdditiveScore), ("bilinear", BilinearScore), ("dot", DotScore)],
)
def test_config_makes_the_score_that_it_names(attention, kind):
    assert type(Seq2SeqConfig(**SIZES, attention=attention).make_score()) is kind
    assert Seq2SeqConfig(**SIZES, attention=None, order="luong").make_score() is None


def test_encode_bridges_the_summary_to_the_first_state_and_lets_gradients_through():
    model = shake(Seq2Seq(Seq2SeqConfig(**SIZES)).eval())
    source = torch.tensor([[4, 5, 3], [6, 7, 0]])
    memory, state = model.encode(source, source > 0)
    by_hand = (memory.summary @ model.bridge.weight.T + model.bridge.bias).tanh()
    torch.testing.assert_close(state, by_hand)
    assert all(part.requires_grad for part in (memory.states, memory.keys, memory.summary))


def test_source_and_target_have_vocabularies_of_their_own():
    sizes = SIZES | {"source_vocab": 5, "target_vocab": 9}
    model = Seq2Seq(Seq2SeqConfig(**sizes)).eval()
    source, target = torch.tensor([[4, 3], [3, 0]]), torch.tensor([[1, 8, 7], [1, 6, 5]])
    assert model(source, source > 0, target)[0].shape == (2, 3, 9)


def test_generate_passes_the_search_on():
    model = shake(Seq2Seq(Seq2SeqConfig(**SIZES)).eval(), std=1.0)
    source = torch.tensor([[4, 5, 3], [6, 7, 0]])
    search = {"num_beams": 3, "length_penalty": 1.0, "max_length": 4}
    found = model.generate(source, source > 0, **search)
    for ids, score, beams in zip(found.ids, found.scores.tolist(), found.beams, strict=True):
        assert len(beams) == 3
        assert beams[0][0] == pytest.approx(score / min(len(ids) + 1, 4))


def test_first_logits_are_small_so_that_the_first_loss_is_that_of_guessing():
    torch.manual_seed(0)
    model = Seq2Seq(Seq2SeqConfig(source_vocab=500, target_vocab=500)).eval()
    source = torch.randint(3, 500, (8, 6))
    logits, _ = model(source, source > 0, source)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(500, (48,)))
    assert loss.item() == pytest.approx(torch.tensor(500.0).log().item(), rel=0.05)


def test_output_layer_shares_the_target_embedding():
    model = Seq2Seq(Seq2SeqConfig(**SIZES))
    assert sum(parameter.numel() == 9 * 6 for parameter in model.parameters()) == 2


def some_pairs(count, seed, reverse):
    rng = random.Random(seed)
    sources = [[rng.randrange(3, 8) for _ in range(rng.randrange(2, 5))] for _ in range(count)]
    return [(source, source[::-1] if reverse else source) for source in sources]


@pytest.mark.parametrize(
    ("order", "attention", "reverse", "rate"),
    [
        ("bahdanau", "additive", True, 0.01),
        ("luong", "bilinear", False, 0.02),
        ("luong", "dot", True, 0.02),
    ],
)
def test_model_learns_to_copy_and_to_reverse_and_when_to_stop(order, attention, reverse, rate):
    torch.manual_seed(0)
    choices = {"d_embedding": 24, "d_encoder": 20, "d_hidden": 40, "dropout": 0.0}
    config = Seq2SeqConfig(**SIZES | choices, order=order, attention=attention)
    model = Seq2Seq(config)
    batches = LengthBatches(some_pairs(600, 0, reverse), 40, seed=0)
    history = fit(model, batches, translation_loss(), epochs=8, learning_rate=rate, progress=False)
    assert sum(history.losses[-10:]) / 10 < 0.2 < history.losses[0]
    unseen = some_pairs(100, 1, reverse)
    batch = pair_batch(unseen, bos_id=BOS, eos_id=EOS, pad_id=0)
    for search in ({"num_beams": 1}, {"num_beams": 3}):
        found = model.generate(batch.source, batch.source_mask, max_length=12, **search)
        right = sum(ids == target for ids, (_, target) in zip(found.ids, unseen, strict=True))
        assert right >= 85
        assert sum(len(ids) < 12 for ids in found.ids) >= 98  # they end by themselves
