"""Where a ViT looks: the map is the attention, the bars are its answer, the sliders are obeyed."""

import matplotlib.pyplot as plt
import pytest
import torch
from helpers import as_a_reader, shake

from course_utils.explorers import pictures, rollout_explorer, rollout_picture
from course_utils.models.vit import ViT, ViTConfig
from course_utils.rollout import rollout

SIZES = {"image_size": 8, "patch_size": 2, "channels": 1, "num_classes": 7}
SIZES |= {"num_layers": 2, "num_heads": 3, "d_model": 12, "dropout": 0.5}
NAMES = ["one", "two", "three", "four", "$five", "six", "a name that is much too long"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def model():
    return shake(ViT(ViTConfig(**SIZES)), seed=0).eval()


@pytest.fixture
def some():
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def map_of(axes):
    return torch.as_tensor(axes[1].images[0].get_array().data)


@pytest.mark.parametrize("layer", [None, 1, 2])
@pytest.mark.parametrize("head", [None, 1, 3])
@pytest.mark.parametrize("distilled", [False, True])
def test_map_is_what_the_class_token_takes_from_the_patches(some, layer, head, distilled):
    if layer is None and head is not None:
        head = None
    model = shake(ViT(ViTConfig(**SIZES, distilled=distilled)), seed=2).eval()
    weights = model.attentions(some[:1]).detach()
    if layer is None:
        tokens = rollout(weights)[0, 0]
    else:
        chosen = weights[0, layer - 1, :, 0]
        tokens = chosen.mean(0) if head is None else chosen[head - 1]
    axes = rollout_picture(model, some[:1], NAMES, layer=layer, head=head)
    torch.testing.assert_close(map_of(axes).float(), tokens[1 + distilled :].view(4, 4))
    assert f"{tokens[1 + distilled :].sum():.2f}" in axes[1].get_xlabel()


def test_bars_are_the_most_probable_classes_best_first(model, some):
    *_, bars = rollout_picture(model, some[1:2], NAMES)
    best = model(some[1:2])[0].softmax(0).topk(5)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(best.values.tolist())
    shown = [label.get_text() for label in bars.get_yticklabels()]
    assert shown == [pictures._short(NAMES[k]) for k in best.indices.tolist()]
    assert bars.yaxis_inverted() and max(map(len, shown)) <= 16


def test_picture_is_drawn_with_the_lines_of_its_patches(model, some):
    axes = rollout_picture(model, some[:1], NAMES)
    shades = torch.as_tensor(axes[0].images[0].get_array().data)
    wanted = (some[0, 0] - some[0, 0].min()) / (some[0, 0].max() - some[0, 0].min())
    torch.testing.assert_close(shades.float(), wanted)
    across = sorted(line.get_ydata()[0] for line in axes[0].lines[:3])
    assert across == [1.5, 3.5, 5.5] and len(axes[0].lines) == 6


def test_model_stays_in_its_mode_and_is_read_without_dropout(model, some):
    before = map_of(rollout_picture(model, some[:1], NAMES))
    model.train()
    assert torch.equal(before, map_of(rollout_picture(model, some[:1], NAMES))) and model.training


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layer": 3}, "the model has the layers 1 to 2, got 3"),
        ({"layer": 0}, "the model has the layers 1 to 2, got 0"),
        ({"layer": 1, "head": 4}, "the model has the heads 1 to 3, got 4"),
        ({"head": 1}, "got head=1: choose a layer"),
        ({"ax": [None]}, "ax is three Axes, for picture, map and bars, got 1"),
    ],
)
def test_wrong_choices_are_errors(model, some, choice, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        rollout_picture(model, some[:1], NAMES, **choice)


def test_wrong_models_names_and_pictures_are_errors(model, some):
    with as_a_reader():
        with pytest.raises(ValueError, match="7 classes, got 6 names"):
            rollout_picture(model, some[:1], NAMES[1:])
        with pytest.raises(ValueError, match=r"one picture is drawn, got 3: give pictures\[k"):
            rollout_picture(model, some, NAMES)
        with pytest.raises(ValueError, match="probabilities are not numbers"):
            rollout_picture(model, some[:1] * float("nan"), NAMES)
        with pytest.raises(ValueError, match=r'no class token, .* pool="token"'):
            rollout_explorer(ViT(ViTConfig(**SIZES, pool="mean")), some, NAMES)
        with pytest.raises(ValueError, match="at least one picture"):
            rollout_explorer(model, some[:0], NAMES)


def test_explorer_obeys_its_sliders(model, some, monkeypatch):
    drawn = []

    def noted(model, picture, names, *, layer, head):
        drawn.append((picture, layer, head))
        return rollout_picture(model, picture, names, layer=layer, head=head)

    monkeypatch.setattr(pictures, "rollout_picture", noted)
    number, layer, head, _, remark, drawing = rollout_explorer(model, some, NAMES).children
    assert head.disabled and bytes(drawing.value).startswith(b"\x89PNG") and remark.value == ""
    number.value, layer.value, head.value = 2, 1, 3
    assert not head.disabled
    layer.value = 0
    assert [(k, h) for _, k, h in drawn] == [
        (None, None), (None, None), (1, None), (1, 3), (None, None)
    ]  # fmt: skip
    assert torch.equal(drawn[0][0], some[:1]) and torch.equal(drawn[-1][0], some[2:3])


def test_explorer_says_what_is_wrong_and_goes_on(model, some):
    bad = torch.cat([some[:1], some[1:2] * float("nan")])
    number, _, _, _, remark, drawing = rollout_explorer(model, bad, NAMES).children
    number.value = 1
    assert "not numbers" in remark.value and drawing.layout.display == "none"
    number.value = 0
    assert remark.value == "" and drawing.layout.display is None
