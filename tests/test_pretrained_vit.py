"""Checkpoints of ViT and DeiT in our `ViT` and back: every head, other layouts, errors."""

import json

import helpers
import pytest
import torch
from helpers import as_a_reader, same_weights, shake
from test_pretrained import edit_config, edit_weights
from test_vit import CLOSE, KINDS, SMALL, draw_pictures, every_config, every_kind

from course_utils.models.vit import ViT, ViTConfig
from course_utils.pretrained import files, load_vit, to_vit

one_thread = helpers.one_thread


def save_small(folder, **choices):
    model = shake(ViT(ViTConfig(**SMALL | choices)), 1, std=0.3).eval()
    to_vit(model).save_pretrained(folder)
    return model


@every_config
def test_saved_by_the_library_is_the_same_in_ours(config, tmp_path):
    theirs = shake(to_vit(ViT(config)), 5, std=0.3).eval()
    theirs.save_pretrained(tmp_path)
    ours, pictures = load_vit(tmp_path), draw_pictures(config)
    assert not ours.training and all(p.requires_grad for p in ours.parameters())
    assert ours.config.parameter_count() == theirs.num_parameters()
    torch.testing.assert_close(ours(pictures), theirs(pictures).logits, **CLOSE)


@every_config
def test_saved_by_ours_is_the_same_in_the_library(config, tmp_path):
    ours, pictures = shake(ViT(config), 3, std=0.3).eval(), draw_pictures(config)
    to_vit(ours).save_pretrained(tmp_path)
    theirs = type(to_vit(ours)).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(theirs(pictures).logits, ours(pictures), **CLOSE)


@every_kind
def test_there_and_back_changes_no_bit(kind, tmp_path):
    ours = save_small(tmp_path, d_ff=7, dropout=0.3, norm_eps=1e-3, **KINDS[kind])
    back = load_vit(tmp_path)
    assert same_weights(back.state_dict(), ours.state_dict())
    assert back.config == ours.config
    assert back.config.parameter_count() == ours.config.parameter_count()
    tensors = list(back.state_dict().values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)


def test_to_vit_keeps_mode_type_dropout_and_names_and_shares_nothing():
    ours = ViT(ViTConfig(**SMALL, dropout=0.3)).double()
    names = ["cat", "dog", "cow", "owl", "ant"]
    theirs = to_vit(ours, names)
    assert theirs.training and not to_vit(ours.eval()).training
    assert {part.dtype for part in theirs.parameters()} == {torch.float64}
    assert {m.p for m in theirs.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    assert theirs.config.attention_probs_dropout_prob == 0.3
    assert [theirs.config.id2label[k] for k in range(5)] == names
    assert theirs.config.label2id["owl"] == 3
    before = ours.positions.clone()
    with torch.no_grad():
        theirs.vit.embeddings.position_embeddings.zero_()
    assert torch.equal(ours.positions, before)


def test_to_vit_of_what_the_library_has_not_is_an_error():
    with pytest.raises(ValueError, match='class token, this one has pool="mean"'):
        to_vit(ViT(ViTConfig(**SMALL, pool="mean")))
    with pytest.raises(ValueError, match="5 classes have as many names, got 2"):
        to_vit(ViT(ViTConfig(**SMALL)), ["cat", "dog"])


# ---- a new classifier


@every_kind
def test_new_classifier_begins_at_zero_and_the_rest_is_the_checkpoint(kind, tmp_path):
    ours = save_small(tmp_path, **KINDS[kind])
    before = torch.get_rng_state()
    found = load_vit(tmp_path, num_classes=3)
    assert torch.equal(torch.get_rng_state(), before)
    pictures = draw_pictures(ours.config)
    assert found(pictures).shape == (3, 3) and not found(pictures).any()
    torch.testing.assert_close(found.features(pictures), ours.features(pictures))
    assert all(part.requires_grad for part in found.parameters())


@pytest.mark.parametrize("family", ["ViT", "DeiT"])
def test_headless_checkpoint_takes_a_new_classifier(family, tmp_path):
    import transformers

    config = to_vit(ViT(ViTConfig(**SMALL, distilled=family == "DeiT"))).config
    theirs = shake(getattr(transformers, f"{family}Model")(config), 3).eval()
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no classifier: say how many classes, load_vit\(num_cl"):
        load_vit(tmp_path)
    ours = load_vit(tmp_path, num_classes=4)
    pictures = draw_pictures(ours.config)
    wanted = theirs(pictures).last_hidden_state
    torch.testing.assert_close(ours.encode(pictures), wanted, **CLOSE)
    assert ours.config.num_classes == 4


# ---- other layouts


def test_names_of_recent_versions_are_read(tmp_path):
    ours = save_small(tmp_path)
    theirs = to_vit(ours).state_dict()
    edit_weights(tmp_path, lambda tensors: {name: part.clone() for name, part in theirs.items()})
    assert same_weights(load_vit(tmp_path).state_dict(), ours.state_dict())


def test_half_precision_becomes_single_and_several_files_are_read(tmp_path):
    ours = shake(ViT(ViTConfig(**SMALL)), 1, std=0.3)
    to_vit(ours).half().save_pretrained(tmp_path, max_shard_size="1KB")
    assert len([*tmp_path.glob("*.safetensors")]) > 2
    found = load_vit(tmp_path)
    assert {part.dtype for part in found.parameters()} == {torch.float32}
    torch.testing.assert_close(found.positions, ours.positions, atol=1e-2, rtol=1e-2)


def test_sides_may_be_lists_of_equal_ones(tmp_path):
    ours = save_small(tmp_path)
    edit_config(tmp_path, image_size=[12, 12], patch_size=[4, 4])
    assert load_vit(tmp_path).config.image_size == ours.config.image_size


# ---- broken and foreign checkpoints


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "swin"}, "is no ViT as .* model_type is 'vit' or 'deit', got 'swin'"),
        ({"hidden_act": "relu"}, "hidden_act is 'gelu', got 'relu'"),
        ({"qkv_bias": False}, "qkv_bias is True, got False"),
        ({"attention_probs_dropout_prob": 0.7}, "one rate of dropout, .* 'attention_probs_.* 0.7"),
        ({"num_hidden_layers": 3}, r"16 missing .*layer.2.* 0 too many"),
        ({"image_size": 16}, r"position_embeddings .* shape \(1, 10, 8\), .* says \(1, 17, 8\)"),
        ({"image_size": [12, 16]}, r"has image_size=\[12, 16\]: ours are squares"),
        ({"image_size": 13}, "got image_size=13, patch_size=4"),
        ({"num_attention_heads": 3}, "got d_model=8, num_heads=3"),
        ({"model_type": "deit"}, "missing .*deit.embeddings"),
    ],
)
def test_foreign_checkpoint_is_an_error(changes, message, tmp_path):
    save_small(tmp_path)
    edit_config(tmp_path, **changes)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        load_vit(tmp_path)


def test_what_is_not_there_is_an_error(tmp_path):
    with as_a_reader(), pytest.raises(FileNotFoundError, match=r"has no config.json"):
        load_vit(tmp_path)
    save_small(tmp_path)
    edit_weights(tmp_path, lambda t: {k: v for k, v in t.items() if k != "vit.layernorm.bias"})
    with pytest.raises(ValueError, match=r"1 missing \['vit.layernorm.bias'\], 0 too many"):
        load_vit(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"convert it: ViTForImageClassification.from_p"):
        load_vit(tmp_path)
    found = json.loads((tmp_path / "config.json").read_text())
    del found["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="lacks 'hidden_size'"):
        load_vit(tmp_path)


def test_name_comes_from_the_hub(tmp_path, monkeypatch):
    ours, asked = save_small(tmp_path), []

    def from_hub(load, *, wanted, instead):
        asked.append((wanted.split()[0], instead))
        return tmp_path / wanted.split()[0]

    monkeypatch.setattr(files, "from_hub", from_hub)
    found = load_vit("facebook/deit-tiny-patch16-224")
    assert same_weights(found.state_dict(), ours.state_dict())
    hint = "give load_vit the folder of a copy"
    assert asked == [("config.json", hint), ("model.safetensors", hint)]
