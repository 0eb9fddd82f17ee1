"""Where a ViT looks: the map is the model's attention, the bars its answer; the view obeys."""

import matplotlib.pyplot as plt
import pytest
import torch
from helpers import as_a_reader, check_words, shake
from matplotlib.colors import to_hex

from course_utils.explorers import pictures as module
from course_utils.explorers import rollout_explorer, rollout_picture
from course_utils.models.vit import ViT, ViTConfig
from course_utils.plotting import FONT_SIZE, PALETTE
from course_utils.rollout import rollout

SIZES = {"image_size": 12, "patch_size": 4, "num_layers": 2, "num_heads": 3, "d_model": 12}
NAMES = ("zero", "one", "$2$", "three", "four", "five", "American Staffordshire terrier")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def model_of(**choices):
    """A model of random weights, that dropout would change."""
    sizes = {"num_classes": len(NAMES), "channels": 1, "dropout": 0.5} | SIZES | choices
    return shake(ViT(ViTConfig(**sizes)), seed=0, std=0.4).eval()


@pytest.fixture
def model():
    return model_of()


def pictures_of(count=1, channels=1, side=12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, side, side, generator=generator)


def words_of(labels):
    return [label.get_text() for label in labels]


def shares_of(ax):
    return torch.as_tensor(ax.images[0].get_array().data)


def bars_of(ax):
    """Class -> length of its bar, from above."""
    places = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches}
    assert ax.yaxis_inverted() and sorted(places) == [*places]
    return dict(zip(words_of(ax.get_yticklabels()), places.values(), strict=True))


@pytest.mark.parametrize("choices", [{}, {"distilled": True}, {"distilled": True, "channels": 3}])
def test_rollout_picture_map_is_the_rollout_of_the_class_token(choices):
    model = model_of(**choices)
    picture = pictures_of(channels=model.config.channels)
    wanted = rollout(model.attentions(picture))[0, 0, model.config.special :].detach().view(3, 3)
    _, ax, _ = rollout_picture(model, picture, NAMES)
    torch.testing.assert_close(shares_of(ax), wanted)
    assert ax.get_title() == "rollout, 2 layers" and not ax.get_ylabel()
    assert words_of(ax.texts) == [f"{share:.2f}" for share in wanted.flatten().tolist()]
    assert ax.get_xlabel() == f"all patches: {wanted.sum():.2f}"
    assert ax.images[0].get_clim() == (0.0, pytest.approx(wanted.max().item()))
    assert ax.images[0].colorbar.ax.get_ylabel() == "share of a patch"


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("head", [None, 1, 3])
def test_rollout_picture_map_is_the_attention_of_the_class_token(distilled, layer, head):
    model, picture = model_of(distilled=distilled), pictures_of()
    heads = model.attentions(picture)[0, layer - 1, :, 0, 1 + distilled :].detach()
    wanted = sum(heads) / 3 if head is None else heads[head - 1]
    _, ax, _ = rollout_picture(model, picture, NAMES, layer=layer, head=head)
    torch.testing.assert_close(shares_of(ax), wanted.view(3, 3))
    said = "mean of heads" if head is None else f"head {head}"
    assert ax.get_title() == f"layer {layer}, {said}"


def test_rollout_picture_of_one_layer_says_so():
    _, ax, _ = rollout_picture(model_of(num_layers=1), pictures_of(), NAMES)
    assert ax.get_title() == "rollout, 1 layer"


def test_rollout_picture_map_of_a_class_token_that_looks_at_no_patch_is_dark(model, monkeypatch):
    nothing = torch.zeros(1, 2, 3, 10, 10)
    monkeypatch.setattr(model, "attentions", lambda _: nothing)
    axes = rollout_picture(model, pictures_of(), NAMES, layer=1)
    axes[1].figure.draw_without_rendering()
    assert not shares_of(axes[1]).any() and axes[1].images[0].get_clim() == (0.0, 1.0)


@pytest.mark.parametrize("distilled", [False, True])
def test_rollout_picture_bars_are_the_five_most_probable_classes(distilled):
    model, picture = model_of(distilled=distilled), pictures_of()
    chances = dict(zip(NAMES, model(picture)[0].softmax(-1).tolist(), strict=True))
    best = sorted(chances, key=chances.get, reverse=True)[:5]
    *_, ax = rollout_picture(model, picture, NAMES)
    found = bars_of(ax)
    assert [*found] == ["American Staffo…" if len(name) > 16 else name for name in best]
    assert list(found.values()) == pytest.approx([chances[name] for name in best], abs=1e-6)
    assert words_of(ax.texts) == [f"{chances[name]:.2f}" for name in best]
    assert (ax.get_title(), ax.get_xlabel()) == ("answer", "probability")
    assert {to_hex(bar.get_facecolor()).upper() for bar in ax.patches} == {PALETTE["blue"]}


def test_rollout_picture_bars_have_one_scale_and_room_for_few_and_sure_classes():
    model = model_of(num_classes=2)
    *_, unsure = rollout_picture(model, pictures_of(), "ab")
    with torch.no_grad():
        model.classifier.bias[1] += 1000
    *_, sure = rollout_picture(model, pictures_of(), "ab")
    sure.figure.draw_without_rendering()
    assert bars_of(sure) == {"b": 1.0, "a": 0.0} and len(bars_of(unsure)) == 2
    assert sure.get_xlim() == unsure.get_xlim() and sure.get_xlim()[0] == 0
    assert sure.texts[0].get_window_extent().x1 <= sure.get_window_extent().x1


def test_rollout_picture_shows_a_grey_picture_from_black_to_white_with_its_patches(model):
    picture = pictures_of()
    ax, *_ = rollout_picture(model, picture, NAMES)
    shown = shares_of(ax)
    pixels = picture[0, 0]
    wanted = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    torch.testing.assert_close(shown, wanted)
    assert ax.images[0].get_cmap().name == "gray" and ax.images[0].get_clim() == (0, 1)
    across = [line.get_ydata()[0] for line in ax.lines if line.get_xdata()[0] == 0]
    down = [line.get_xdata()[0] for line in ax.lines if line.get_ydata()[0] == 0]
    assert across == down == [3.5, 7.5] and len(ax.lines) == 4
    assert ax.get_xlabel() == "3 x 3 patches"


def test_rollout_picture_shows_colours(model):
    picture = pictures_of(channels=3)
    ax, *_ = rollout_picture(model_of(channels=3), picture, NAMES)
    pixels = picture[0].permute(1, 2, 0)
    wanted = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    torch.testing.assert_close(shares_of(ax), wanted)


def test_rollout_picture_of_one_shade_is_drawn(model):
    axes = rollout_picture(model, torch.full((1, 1, 12, 12), 0.5), NAMES)
    axes[0].figure.draw_without_rendering()
    assert not shares_of(axes[0]).any()


def test_rollout_picture_of_many_patches_has_no_numbers_and_then_no_lines():
    some = rollout_picture(model_of(image_size=24), pictures_of(side=24), NAMES)
    many = rollout_picture(model_of(image_size=116), pictures_of(side=116), NAMES)
    assert [len(axes[1].texts) for axes in (some, many)] == [0, 0]
    assert [len(axes[0].lines) for axes in (some, many)] == [10, 0]
    assert shares_of(many[1]).shape == (29, 29)


def test_rollout_picture_reads_without_dropout_and_leaves_the_mode_alone(model):
    wanted = bars_of(rollout_picture(model, pictures_of(), NAMES)[2])
    assert not model.training
    model.train()
    assert bars_of(rollout_picture(model, pictures_of(), NAMES)[2]) == pytest.approx(wanted)
    assert model.training and model.dropout.training
    with pytest.raises(ValueError, match="12 x 12"):
        rollout_picture(model, pictures_of(side=8), NAMES)
    assert model.training


def test_rollout_picture_is_drawn_where_asked(model):
    own = plt.subplots(1, 3)[1]
    assert rollout_picture(model, pictures_of(), NAMES, ax=own) == [*own]
    assert len(plt.get_fignums()) == 1
    with pytest.raises(ValueError, match=r"ax is three Axes, .* got 2"):
        rollout_picture(model, pictures_of(), NAMES, ax=own[:2])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layer": 0}, "the model has the layers 1 to 2, got 0"),
        ({"layer": 3}, "the model has the layers 1 to 2, got 3"),
        ({"layer": -1}, "the model has the layers 1 to 2, got -1"),
        ({"layer": 1, "head": 0}, "the model has the heads 1 to 3, got 0"),
        ({"layer": 1, "head": 4}, "the model has the heads 1 to 3, got 4"),
        ({"head": 2}, "rollout takes the mean of all heads, got head=2: choose a layer"),
        ({"names": NAMES[1:]}, "the model knows 7 classes, got 6 names"),
        ({"names": [*NAMES, "more"]}, "the model knows 7 classes, got 8 names"),
        ({"picture": pictures_of(2)}, "one picture is drawn, got 2: give pictures"),
        ({"picture": pictures_of(0)}, "one picture is drawn, got 0"),
        ({"picture": pictures_of()[0]}, "four axes: pictures, channels, height, width"),
        ({"picture": pictures_of(side=16)}, "reads pictures of 12 x 12 pixels, got 16 x 16"),
        ({"picture": pictures_of() * float("nan")}, "not numbers: look for NaN"),
    ],
)
def test_rollout_picture_of_wrong_choices_is_an_error(model, choice, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        rollout_picture(model, **{"picture": pictures_of(), "names": NAMES} | choice)
    assert not plt.get_fignums()


@pytest.mark.parametrize("draw", [rollout_picture, rollout_explorer])
def test_rollout_pictures_without_a_class_token_are_an_error(draw):
    with pytest.raises(ValueError, match=r'no class token.*pool="token"'):
        draw(model_of(pool="mean"), pictures_of(), NAMES)


@pytest.mark.parametrize(
    ("side", "names"), [(4, NAMES), (12, NAMES), (20, ["W" * 40] * 7), (56, NAMES)]
)
def test_rollout_picture_nothing_is_cut_and_no_words_touch(side, names):
    axes = rollout_picture(model_of(image_size=side), pictures_of(side=side), names, layer=2)
    check_words(axes[0].figure, FONT_SIZE)


@pytest.fixture
def drawn(monkeypatch):
    """Title of the map, its shares and the pixels of each drawing that was shown."""
    shown = []

    def noted(ax):
        picture, shares, *_ = ax.figure.axes
        shown.append((shares.get_title(), shares_of(shares), shares_of(picture)))
        plt.close(ax.figure)
        return b"drawing %d" % len(shown)

    monkeypatch.setattr(module, "png", noted)
    return shown


def view_of(model, pictures=None):
    """Sliders for picture, layer and head; the line of mistakes; the drawing."""
    pictures = pictures_of(3) if pictures is None else pictures
    number, layer, head, _, remark, drawing = rollout_explorer(model, pictures, NAMES).children
    return number, layer, head, remark, drawing


def test_rollout_explorer_sliders_go_through_pictures_layers_and_heads(model, drawn):
    number, layer, head, *_ = view_of(model)
    assert [(s.min, s.max, s.value) for s in (number, layer, head)] == [
        (0, 2, 0),
        (0, 2, 0),
        (0, 3, 0),
    ]
    layer.value, head.value = 2, 3
    assert [name for name, *_ in drawn] == [
        "rollout, 2 layers",
        "layer 2, mean of heads",
        "layer 2, head 3",
    ]
    number.value = 1
    first, second = (
        shares_of(rollout_picture(model, pictures_of(3)[k : k + 1], NAMES, layer=2, head=3)[1])
        for k in (0, 1)
    )
    torch.testing.assert_close(drawn[2][1], first)
    torch.testing.assert_close(drawn[3][1], second)
    assert not torch.equal(drawn[2][2], drawn[3][2]) and len(drawn) == 4


def test_rollout_explorer_has_no_head_to_choose_for_the_rollout(model, drawn):
    _, layer, head, remark, _ = view_of(model)
    assert head.disabled
    layer.value, head.value = 1, 2
    assert not head.disabled
    layer.value = 0
    assert head.disabled and remark.value == "" and drawn[-1][0] == "rollout, 2 layers"
    layer.value = 1
    assert drawn[-1][0] == "layer 1, head 2", "the choice of before is still there"


def test_rollout_explorer_says_what_is_wrong_and_goes_on(model, drawn):
    pictures = pictures_of(3)
    pictures[1] = float("nan")
    number, layer, _, remark, drawing = view_of(model, pictures)
    first = bytes(drawing.value)
    number.value = 1
    wanted = "the model&#x27;s probabilities are not numbers: look for NaN in picture and weights"
    assert remark.value == wanted and drawing.layout.display == "none"
    seen = []
    drawing.layout.observe(lambda _: seen.append(bytes(drawing.value)), "display")
    layer.value = 1  # nothing to draw, and no drawing of before
    assert remark.value and drawing.layout.display == "none" and len(drawn) == 1
    number.value = 2
    assert remark.value == "" and drawing.layout.display is None and len(drawn) == 2
    assert seen == [bytes(drawing.value)] != [first], "not the drawing of before for a moment"


def test_rollout_explorer_of_pictures_of_another_size_says_so_in_one_line(model, drawn):
    *_, remark, drawing = view_of(model, pictures_of(2, side=16))
    assert "12 x 12 pixels, got 16 x 16" in remark.value and "\n" not in remark.value
    assert drawing.layout.display == "none" and not drawn


def test_rollout_explorer_drawing_is_a_file_and_the_figure_is_closed(model):
    number, *_, drawing = view_of(model)
    before = bytes(drawing.value)
    number.value = 1
    assert before.startswith(b"\x89PNG") and bytes(drawing.value) != before
    assert drawing.format == "png" and not plt.get_fignums()


def test_rollout_explorer_without_pictures_or_names_is_an_error(model):
    with pytest.raises(ValueError, match="at least one picture"):
        rollout_explorer(model, pictures_of(0), NAMES)
    with pytest.raises(ValueError, match="the model knows 7 classes, got 1 names"):
        rollout_explorer(model, pictures_of(), NAMES[:1])
