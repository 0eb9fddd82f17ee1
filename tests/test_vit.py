"""ViT: equal to the library's ViT and DeiT; other sizes of pictures, pooling, errors."""

import random

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from torch.nn import functional as F

from course_utils.models.vit import ViT, ViTConfig
from course_utils.pretrained import to_vit
from course_utils.reproducibility import parameter_count

one_thread = helpers.one_thread
SMALL = {"image_size": 12, "patch_size": 4, "num_classes": 5, "channels": 1}
SMALL |= {"num_layers": 2, "num_heads": 2, "d_model": 8}
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def draw_config(seed, **choices):
    """A small configuration, different in everything."""
    draw = random.Random(seed)
    num_heads, patch_size = draw.choice([1, 2, 3, 4]), draw.choice([1, 2, 3, 5])
    return ViTConfig(
        image_size=patch_size * draw.randint(2, 5),
        patch_size=patch_size,
        channels=draw.choice([1, 3, 4]),
        num_classes=draw.randint(3, 9),
        num_layers=draw.randint(1, 4),
        num_heads=num_heads,
        d_model=num_heads * draw.choice([2, 4, 5, 8]),
        d_ff=draw.choice([None, 7, 24]),
        norm_eps=draw.choice([1e-12, 1e-5, 1e-3]),
        **choices,
    )


KINDS = {
    "ViTForImageClassification": {},
    "DeiTForImageClassification": {"distilled": True, "teacher_head": False},
    "DeiTForImageClassificationWithTeacher": {"distilled": True},
}
CONFIGS = {
    f"{kind} {seed}": draw_config(seed, **choices)
    for kind, choices in KINDS.items()
    for seed in range(8)
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(seed=0, std=0.5, dtype=torch.float64, **choices):
    return shake(ViT(ViTConfig(**SMALL | choices)), seed, std=std).to(dtype).eval()


def draw_pictures(config, rows=3, size=None, seed=2, dtype=torch.float32):
    height, width = size or (config.image_size, config.image_size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, config.channels, height, width, generator=generator, dtype=dtype)


# ---- what it computes


@every_config
def test_logits_loss_and_gradients_equal_the_library(config):
    model, pictures = shake(ViT(config), 1, std=0.3).eval(), draw_pictures(config)
    theirs, labels = to_vit(model), torch.tensor([0, 2, 1])
    assert type(theirs).__name__ == next(k for k, v in CONFIGS.items() if v is config).split()[0]
    found, wanted = model(pictures), theirs(pictures).logits
    torch.testing.assert_close(found, wanted, **CLOSE)
    F.cross_entropy(found, labels).backward()
    F.cross_entropy(wanted, labels).backward()
    ours = sorted(p.grad.norm().item() for p in model.parameters())
    assert ours == pytest.approx(
        sorted(p.grad.norm().item() for p in theirs.parameters()), rel=1e-3, abs=1e-5
    )


@every_config
def test_pictures_of_other_sizes_equal_the_library(config):
    model = shake(ViT(config), 1, std=0.3).eval()
    theirs, patch = to_vit(model), config.patch_size
    for rows, columns in ((3, 3), (1, 1), (2, 6), (7, 4)):
        pictures = draw_pictures(config, size=(rows * patch, columns * patch))
        wanted = theirs(pictures, interpolate_pos_encoding=True).logits
        torch.testing.assert_close(model(pictures, interpolate=True), wanted, **CLOSE)


@every_config
def test_hidden_vectors_and_attention_equal_the_library(config):
    model, pictures = shake(ViT(config), 1, std=0.3).eval(), draw_pictures(config)
    theirs = to_vit(model)
    theirs.set_attn_implementation("eager")
    found = theirs.base_model(pictures, output_attentions=True)
    torch.testing.assert_close(model.encode(pictures), found.last_hidden_state, **CLOSE)
    wanted = torch.stack(found.attentions, dim=1)
    torch.testing.assert_close(model.attentions(pictures), wanted, **CLOSE)
    torch.testing.assert_close(model.features(pictures), found.last_hidden_state[:, 0], **CLOSE)


def test_both_classifiers_of_a_distilled_model_equal_the_library():
    model = make(distilled=True, dtype=torch.float32)
    pictures = draw_pictures(model.config)
    found, wanted = model.both_logits(pictures), to_vit(model)(pictures)
    torch.testing.assert_close(found[0], wanted.cls_logits, **CLOSE)
    torch.testing.assert_close(found[1], wanted.distillation_logits, **CLOSE)
    assert make().both_logits(draw_pictures(model.config, dtype=torch.float64))[1] is None


@pytest.mark.parametrize("choices", [{}, *KINDS.values(), {"pool": "mean"}])
def test_parameter_count_is_that_of_the_model(choices):
    for seed in range(4):
        config = draw_config(seed, **choices)
        assert config.parameter_count() == parameter_count(ViT(config))


def test_mean_pooling_has_no_class_token_and_averages_patches():
    model = make(pool="mean")
    pictures = draw_pictures(model.config, dtype=torch.float64)
    hidden = model.encode(pictures)
    assert hidden.shape == (3, 9, 8)
    torch.testing.assert_close(model.features(pictures), hidden.mean(dim=1))
    torch.testing.assert_close(model(pictures), model.classifier(hidden.mean(dim=1)))
    assert {"class_token", "teacher_token"}.isdisjoint(model.state_dict())
    bigger = draw_pictures(model.config, size=(16, 8), dtype=torch.float64)
    assert model(bigger, interpolate=True).shape == (3, 5)


@pytest.mark.parametrize("choices", [{}, {"distilled": True}, {"pool": "mean"}])
def test_features_are_those_of_the_whole_last_layer(choices):
    model = make(**choices, num_layers=3)
    pictures = draw_pictures(model.config, dtype=torch.float64)
    wanted = model.pool(model.encode(pictures))
    torch.testing.assert_close(model.features(pictures), wanted)
    torch.testing.assert_close(model.both_logits(pictures)[0], model.classifier(wanted))


def test_patches_in_another_order_are_the_same_picture_without_positions():
    model = make()
    pictures = draw_pictures(model.config, dtype=torch.float64)
    turned = pictures.roll((4, 8), dims=(2, 3))  # by whole patches
    assert not torch.allclose(model(pictures), model(turned))
    with torch.no_grad():
        model.positions.zero_()
    torch.testing.assert_close(model(pictures), model(turned))


def test_dropout_is_where_the_library_has_it():
    model = ViT(ViTConfig(**SMALL, dropout=0.3))
    rates = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.0, 0.3}
    assert all(block.feed_forward.dropout.p == 0 for block in model.blocks)
    assert all(block.attention.dropout == 0.3 for block in model.blocks)
    torch.manual_seed(0)
    shake(model)
    pictures = draw_pictures(model.config)
    assert not torch.equal(model(pictures), model(pictures))
    model.eval()
    assert torch.equal(model(pictures), model(pictures))


def test_first_answer_is_no_answer_and_the_first_step_learns():
    torch.manual_seed(0)
    model = ViT(ViTConfig(**SMALL))
    pictures = draw_pictures(model.config)
    assert not model(pictures).any()
    F.cross_entropy(model(pictures), torch.tensor([0, 2, 1])).backward()
    assert model.classifier.weight.grad.norm() > 0
    spread = model.patches(pictures).std().item()
    assert 0.5 < spread < 2, "a patch's vector is of the size of its pixels"


# ---- errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 0}, "patch_size is 1 or more, got 0"),
        ({"d_ff": 0}, "inner is 1 or more, got 0"),
        ({"channels": 0}, "channels is 1 or more, got 0"),
        ({"patch_size": 5}, "multiple of patch_size, got image_size=12, patch_size=5"),
        ({"num_heads": 3}, "multiple of num_heads, got d_model=8, num_heads=3"),
        ({"dropout": 1.5}, "share from 0 to 1, got 1.5"),
        ({"pool": "mean", "distilled": True}, 'pool is "token", got "mean"'),
    ],
)
def test_wrong_configuration_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        ViTConfig(**SMALL | changes)


def test_unknown_pooling_is_an_error():
    with as_a_reader(), pytest.raises(ValueError, match=r"got 'max'"):
        ViTConfig(**SMALL, pool="max")


@pytest.mark.parametrize(
    ("shape", "interpolate", "message"),
    [
        ((2, 1, 8, 12), False, "pictures of 12 x 12 pixels, got 8 x 12: resize .*interpolate=True"),
        ((2, 1, 13, 12), True, "4 x 4 do not fill a picture of 13 x 12"),
        ((2, 1, 3, 12), True, "picture of 3 x 12 pixels is smaller than a patch of 4 x 4"),
        ((2, 3, 12, 12), False, r"have 1 channels here, got 3 \(shape \(2, 3, 12, 12\)\)"),
        ((0, 1, 12, 12), False, r"a picture at least, .* got \(0, 1, 12, 12\)"),
        ((1, 12, 12), False, r"four axes.* got \(1, 12, 12\)"),
    ],
)
def test_wrong_pictures_are_an_error(shape, interpolate, message):
    model = make(dtype=torch.float32)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        model(torch.zeros(shape), interpolate=interpolate)


def test_bytes_are_an_error():
    with as_a_reader(), pytest.raises(ValueError, match=r"got torch.uint8: divide by 255"):
        make()(torch.zeros(2, 1, 12, 12, dtype=torch.uint8))
