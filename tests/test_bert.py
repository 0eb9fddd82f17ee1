"""BERT: equal to the library's, with every head; places, positions, first weights, errors."""

import copy
import dataclasses
import random

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from torch import nn
from torch.nn import functional as F

from course_utils.batching import pad
from course_utils.losses import masked_cross_entropy, masked_loss
from course_utils.masking import MaskedBatch
from course_utils.masks import padding_mask
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.bert_heads import BERTForSequences, BERTForTokens
from course_utils.pretrained import to_bert
from course_utils.reproducibility import parameter_count

one_thread = helpers.one_thread
SMALL = {"vocab_size": 13, "block_size": 12, "num_layers": 2, "num_heads": 2, "d_model": 8}
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def draw_config(seed):
    """A small configuration, different in everything."""
    draw = random.Random(seed)
    num_heads = draw.choice([1, 2, 3, 4])
    return BERTConfig(
        vocab_size=draw.randint(6, 70),
        block_size=draw.randint(9, 24),
        num_layers=draw.randint(1, 4),
        num_heads=num_heads,
        d_model=num_heads * draw.choice([2, 4, 5, 8]),
        d_ff=draw.choice([None, 7, 24]),
        num_segments=draw.choice([2, 2, 3]),
        norm_eps=draw.choice([1e-12, 1e-5, 1e-3]),
    )


CONFIGS = [draw_config(seed) for seed in range(8)]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
KINDS = ("model", "masked", "pretraining", "sequences", "tokens")
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(seed=0, std=0.5, dtype=torch.float64, **choices):
    return shake(BERT(BERTConfig(**SMALL | choices)), seed, std=std).to(dtype).eval()


def draw_model(config, kind, seed=1):
    """A random model, with a classifier where the kind asks for one, in evaluation mode."""
    model = BERT(config)
    heads = {"sequences": BERTForSequences, "tokens": BERTForTokens}
    model = heads[kind](model, 3) if kind in heads else model
    return shake(model, seed, std=0.3).eval()


def as_library(model, kind):
    return to_bert(model, kind if kind in ("model", "masked") else "pretraining")


def draw_batch(config, seed=2, rows=4):
    """Texts of unequal lengths in all their segments, padded, with places and labels."""
    draw = random.Random(seed)
    lengths = [2, config.block_size, *(draw.randint(2, config.block_size) for _ in range(rows))]
    texts = [[draw.randrange(1, config.vocab_size) for _ in range(n)] for n in lengths[:rows]]
    segments = [sorted(draw.randrange(config.num_segments) for _ in text) for text in texts]
    ids, count = pad(texts)
    mask = padding_mask(count)
    places = mask & (torch.rand(ids.shape, generator=torch.Generator().manual_seed(seed)) < 0.4)
    places[:, 0] = True
    unrelated = torch.tensor([draw.randrange(2) for _ in texts])
    return MaskedBatch(ids, places, ids.flip(0) * mask, pad(segments)[0], mask, unrelated)


def our_answer(model, kind, batch):
    """What ours says of real tokens, and a loss."""
    mask = batch.padding_mask
    inputs = batch.ids, batch.segment_ids, mask
    if kind == "sequences":
        logits = model(*inputs)
        return [logits], F.cross_entropy(logits, batch.unrelated)
    if kind == "tokens":
        logits = model(*inputs)
        return [logits[mask]], masked_cross_entropy(logits, batch.target % 3, mask)
    output = model(*inputs)
    if kind == "model":
        pooled = torch.tanh(model.pooler(output.hidden[:, 0]))
        return [output.hidden[mask], pooled], output.hidden[mask].sin().mean() + pooled.mean()
    if kind == "masked":
        return [output.mlm_logits[mask]], masked_loss(model, batch._replace(unrelated=None))
    return [output.mlm_logits[mask], output.nsp_logits], masked_loss(model, batch)


def their_answer(theirs, kind, batch):
    """The same of the library's model."""
    mask = batch.padding_mask
    inputs = {"input_ids": batch.ids, "token_type_ids": batch.segment_ids}
    inputs["attention_mask"] = mask.long()
    labels = batch.target.masked_fill(~batch.places, -100)
    if kind == "sequences":
        found = theirs(**inputs, labels=batch.unrelated)
        return [found.logits], found.loss
    if kind == "tokens":
        found = theirs(**inputs, labels=(batch.target % 3).masked_fill(~mask, -100))
        return [found.logits[mask]], found.loss
    if kind == "model":
        found = theirs(**inputs)
        hidden, pooled = found.last_hidden_state[mask], found.pooler_output
        return [hidden, pooled], hidden.sin().mean() + pooled.mean()
    if kind == "masked":
        found = theirs(**inputs, labels=labels)
        return [found.logits[mask]], found.loss
    found = theirs(**inputs, labels=labels, next_sentence_label=batch.unrelated)
    return [found.prediction_logits[mask], found.seq_relationship_logits], found.loss


# ---- what it computes


@every_kind
@every_config
def test_logits_loss_and_gradients_equal_the_library(config, kind):
    model, batch = draw_model(config, kind), draw_batch(config)
    theirs = as_library(model, kind)
    found, loss = our_answer(model, kind, batch)
    wanted, their_loss = their_answer(theirs, kind, batch)
    for part, its in zip(found, wanted, strict=True):
        torch.testing.assert_close(part, its, **CLOSE)
    torch.testing.assert_close(loss, their_loss, **CLOSE)
    loss.backward()
    their_loss.backward()
    pulled = copy.deepcopy(model)  # its weights are our gradients: the way to the library's names
    with torch.no_grad():
        for copied, own in zip(pulled.parameters(), model.parameters(), strict=True):
            copied.copy_(torch.zeros_like(own) if own.grad is None else own.grad)
    gradients = dict(as_library(pulled, kind).named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(gradients.pop(name), parameter.grad, **CLOSE)
    assert not gradients


def test_config_list_is_varied():
    for field in ("num_layers", "num_heads", "d_ff", "num_segments", "norm_eps"):
        assert len({getattr(config, field) for config in CONFIGS}) > 1


def test_segments_and_mask_may_be_left_out():
    model, ids = make(), torch.tensor([[3, 4, 5], [6, 7, 8]])
    wanted = model(ids, torch.zeros_like(ids), torch.ones_like(ids).bool())
    for part, its in zip(model(ids), wanted, strict=True):
        torch.testing.assert_close(part, its)


def test_attentions_are_the_library_s():
    model = make(num_layers=3)
    batch, theirs = draw_batch(model.config), to_bert(model, "model")
    theirs.set_attn_implementation("eager")
    inputs = {"input_ids": batch.ids, "token_type_ids": batch.segment_ids}
    options = {"attention_mask": batch.padding_mask.long(), "output_attentions": True}
    wanted = torch.stack(theirs(**inputs, **options).attentions, dim=1)
    found = model.attentions(batch.ids, batch.segment_ids, batch.padding_mask)
    assert found.shape == (4, 3, 2, 12, 12)
    for row, real in enumerate(batch.padding_mask):
        torch.testing.assert_close(found[row, :, :, real], wanted[row, :, :, real])
        assert not found[row, ..., ~real].any()


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_places_give_the_same_logits_in_their_order(positions):
    model = make(positions=positions)
    batch = draw_batch(model.config)
    inputs = batch.ids, batch.segment_ids, batch.padding_mask
    whole, some = model(*inputs), model(*inputs, places=batch.places)
    torch.testing.assert_close(some.mlm_logits, whole.mlm_logits[batch.places])
    torch.testing.assert_close(some.nsp_logits, whole.nsp_logits)
    torch.testing.assert_close(some.hidden, whole.hidden)
    nothing = model(*inputs, places=torch.zeros_like(batch.places))
    assert nothing.mlm_logits.shape == (0, 13)


def test_output_layer_works_at_the_places_only(monkeypatch):
    model, read = make(), []
    model.mlm_norm.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].shape))
    batch = draw_batch(model.config)._replace(unrelated=None)
    masked_loss(model, batch)
    assert read == [(int(batch.places.sum()), 8)]


def test_masked_loss_by_hand_and_without_places():
    model, batch = make(), draw_batch(BERTConfig(**SMALL))
    output = model(batch.ids, batch.segment_ids, batch.padding_mask)
    logs = output.mlm_logits.log_softmax(-1)
    terms = [-logs[b, t, batch.target[b, t]] for b, t in batch.places.nonzero().tolist()]
    pairs = -output.nsp_logits.log_softmax(-1)[range(4), batch.unrelated].mean()
    torch.testing.assert_close(masked_loss(model, batch), sum(terms) / len(terms) + pairs)
    nothing = batch._replace(places=torch.zeros_like(batch.places), unrelated=None)
    loss = masked_loss(model, nothing)
    loss.backward()
    assert loss.item() == 0 and model.mlm_bias.grad.isfinite().all()


def test_bert_sees_both_sides_and_the_pooler_the_first_token_only():
    model, ids = make(), torch.tensor([[2, 5, 6, 7, 3]])
    before = model(ids)
    for place in (1, 4):
        other = ids.clone()
        other[0, place] = 9
        changed = (model(other).hidden - before.hidden).abs().amax(-1)[0]
        assert (changed > 1e-3).all()
    vectors = before.hidden.clone()
    vectors[:, 1:] = 0
    torch.testing.assert_close(
        model.nsp(torch.tanh(model.pooler(vectors[:, 0]))), before.nsp_logits
    )


def test_rotary_hidden_depends_on_order_and_not_on_the_place_in_the_row():
    model = make(positions="rotary")
    ids, mask = torch.tensor([[5, 6, 7, 8]]), torch.ones(1, 4).bool()
    found = model(ids).hidden
    moved = model(F.pad(ids, (3, 0)), padding_mask=F.pad(mask, (3, 0), value=False)).hidden
    torch.testing.assert_close(moved[:, 3:], found, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(model(ids.flip(1)).hidden.flip(1), found, atol=1e-2)
    learned = make()
    shifted = learned(F.pad(ids, (3, 0)), padding_mask=F.pad(mask, (3, 0), value=False)).hidden
    assert not torch.allclose(shifted[:, 3:], learned(ids).hidden, atol=1e-2)


def test_rotary_positions_are_no_weights_and_one_table_for_all_blocks():
    model = BERT(BERTConfig(**SMALL, positions="rotary"))
    assert not [name for name in model.state_dict() if "rotary" in name or "positions" in name]
    assert len({id(block.attention.rotary) for block in model.encoder.blocks}) == 1
    assert parameter_count(model) == model.config.parameter_count()


@every_config
def test_parameter_count_equals_the_models(config):
    assert config.parameter_count() == parameter_count(BERT(config))


def test_parameter_count_of_bert_large_without_its_memory():
    sizes = {"vocab_size": 30522, "block_size": 512, "num_layers": 24, "num_heads": 16}
    config = BERTConfig(**sizes, d_model=1024)
    with torch.device("meta"):
        model = BERT(config)
    assert parameter_count(model) == config.parameter_count() == 336_226_108


def test_first_weights_are_as_the_library_draws_them():
    torch.manual_seed(0)
    model = BERT(BERTConfig(vocab_size=300, block_size=100, num_layers=3, num_heads=4, d_model=64))
    for mine in (model, BERTForSequences(model, 50)):
        found = to_bert(mine, pad_id=None)
        wanted = type(found)(found.config).state_dict()
        found = found.state_dict()
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert found[name].mean().item() == pytest.approx(tensor.mean().item(), abs=0.01), name
            assert found[name].std().item() == pytest.approx(tensor.std().item(), rel=0.2), name


def test_dropout_acts_where_bert_has_it():
    model = BERT(BERTConfig(**SMALL, dropout=0.4))
    assert model.encoder.dropout.p == BERTForTokens(model, 2).dropout.p == 0.4
    assert BERTForSequences(model, 2).dropout.p == 0.4
    for block in model.encoder.blocks:
        assert block.attention.dropout == 0.4
        assert block.around_attention.dropout.p == block.around_feed_forward.dropout.p == 0.4
        assert block.feed_forward.dropout.p == 0.0  # not between the two layers
    model.encoder.dropout.p = 1.0  # nothing of the embeddings is left
    model.eval().encoder.dropout.train()
    assert torch.equal(model(torch.full((1, 3), 3)).hidden, model(torch.full((1, 3), 4)).hidden)
    for head in (BERTForSequences(model, 2).eval(), BERTForTokens(model, 2).eval()):
        said = head(torch.ones(2, 3).long())
        assert not torch.allclose(said, head.classifier.bias.expand_as(said))
        head.dropout.p = 1.0  # nothing of the vectors is left
        head.dropout.train()
        said = head(torch.ones(2, 3).long())
        assert torch.equal(said, head.classifier.bias.expand_as(said))


@pytest.mark.parametrize("head", [BERTForSequences, BERTForTokens])
def test_heads_train_the_encoder_that_they_are_given(head):
    bert = make()
    model = head(bert, 3).double()
    assert model.encoder is bert.encoder and model.config is bert.config
    model(torch.tensor([[3, 4], [5, 6]])).sum().backward()
    assert bert.encoder.words.weight.grad[3:7].abs().sum(1).all()


def test_weights_are_made_only_where_they_are_asked_for(monkeypatch):
    model, calls = make(), []
    fused = nn.functional.scaled_dot_product_attention
    name = "scaled_dot_product_attention"
    monkeypatch.setattr(nn.functional, name, lambda *a, **k: calls.append(1) or fused(*a, **k))
    model(torch.ones(2, 3).long())
    assert len(calls) == model.config.num_layers
    model.attentions(torch.ones(2, 3).long())
    assert len(calls) == model.config.num_layers


def test_bert_learns_to_fill_a_gap_from_both_sides():
    torch.manual_seed(0)
    model = BERT(BERTConfig(**SMALL | {"d_model": 32}, dropout=0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    # The word between x and y is the one of their pair.
    target = torch.tensor([[5, 9, 7], [5, 10, 8], [6, 11, 7], [6, 12, 8]])
    places = torch.tensor([[False, True, False]]).expand(4, 3)
    batch = MaskedBatch(target.masked_fill(places, 4), places, target)
    for _ in range(100):
        optimizer.zero_grad()
        loss = masked_loss(model, batch)
        loss.backward()
        optimizer.step()
    assert model(batch.ids).mlm_logits[:, 1].argmax(-1).tolist() == [9, 10, 11, 12]
    assert loss.item() < 0.1


# ---- errors


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_heads": 3}, "got d_model=8, num_heads=3"),
        ({"num_heads": 0}, "num_heads is 1 or more, got 0"),
        ({"vocab_size": 0}, "vocab_size is 1 or more, got 0"),
        ({"block_size": -1}, "block_size is 1 or more, got -1"),
        ({"num_segments": 0}, "num_segments is 1 or more, got 0"),
        ({"d_ff": 0}, "inner is 1 or more, got 0"),
        ({"dropout": 1.5}, "dropout is a share from 0 to 1, got 1.5"),
        ({"positions": "sinusoidal"}, 'are "learned" or "rotary", got \'sinusoidal\''),
        ({"positions": "rotary", "num_heads": 8}, "d_model / num_heads is even, got 8 / 8"),
    ],
)
def test_config_wrong_choices_are_an_error(choices, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        BERTConfig(**SMALL | choices)


def test_config_is_frozen_and_has_names_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BERTConfig(**SMALL).dropout = 0.5
    with pytest.raises(TypeError):
        BERTConfig(9, 9, 1, 1, 8)


IDS = torch.tensor([[2, 4, 5], [2, 6, 7]])
WRONG = {
    "high id": ((IDS + 6,), {}, ValueError, "ids are 0 to 12, got 8 to 13: do tokenizer"),
    "low id": ((IDS - 3,), {}, ValueError, "ids are 0 to 12, got -1 to 4"),
    "long": ((IDS.repeat(1, 5),), {}, ValueError, "15 tokens is longer than block_size=12: cut it"),
    "no text": ((IDS[:0],), {}, ValueError, r"a text and a token at least, got ids \(0, 3\)"),
    "no token": ((IDS[:, :0],), {}, ValueError, r"got ids \(2, 0\)"),
    "segment": ((IDS, IDS * 0 + 2), {}, ValueError, "segment_ids are 0 to 1, got 2 to 2: 0 for"),
    "segments": ((IDS, IDS[:, :2]), {}, ValueError, r"segment_ids have .*: \(2, 3\), got \(2, 2\)"),
    "mask": ((IDS, None, IDS), {}, TypeError, "padding_mask is boolean .* real token.*int64"),
    "mask shape": ((IDS, None, IDS[:1] > 0), {}, ValueError, r"\(2, 3\), got \(1, 3\)"),
    "places": ((IDS,), {"places": IDS}, TypeError, "places is boolean .* asked about"),
    "places shape": ((IDS,), {"places": IDS.T > 0}, ValueError, r"\(2, 3\), got \(3, 2\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_batch_is_an_error(case):
    inputs, options, error, message = WRONG[case]
    model = make()
    with as_a_reader(), pytest.raises(error, match=message):
        model(*inputs, **options)
    if not options:
        for other in (model.attentions, BERTForTokens(model, 2).double()):
            with as_a_reader(), pytest.raises(error, match=message):
                other(*inputs)


@pytest.mark.parametrize("head", [BERTForSequences, BERTForTokens])
def test_head_without_a_class_is_an_error(head):
    with pytest.raises(ValueError, match="num_labels is 1 or more, got 0"):
        head(make(), 0)
