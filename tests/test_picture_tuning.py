"""Fine-tuning of pictures: what a model reads, scores with and without labels, the six ways."""

import copy

import helpers
import pytest
import torch
from helpers import shake

from course_utils import picture_tuning
from course_utils.datasets.labelled_pictures import PictureData, Pictures
from course_utils.models.vit import ViT, ViTConfig
from course_utils.picture_tuning import (
    PictureBatches,
    picture_loss,
    picture_ways,
    read_pictures,
    score_by_names,
    score_pictures,
    shifted,
    train_on_pictures,
    with_new_head,
)
from course_utils.pictures import Preprocessing

one_thread = helpers.one_thread
SIZES = {"image_size": 4, "patch_size": 2, "channels": 1, "num_layers": 2, "num_heads": 2}
PREPARE = Preprocessing(size=4, channels=1, mean=0.3, std=0.4)
WAYS = ["SVM on pixels", "from scratch", "linear probe", "head only", "last blocks", "all layers"]
ONE_STEP = {"last_blocks": 1, "least_steps": 1, "epochs": 1, "scratch": {}}
TRAINED = [name for name in WAYS if name not in ("SVM on pixels", "linear probe")]


def make_vit(seed=0, num_classes=5, **options):
    return shake(ViT(ViTConfig(**SIZES, num_classes=num_classes, d_model=8, **options)), seed, 0.3)


def make_pictures(count, seed=0, side=4, channels=1):
    """Class 0 is bright above, class 1 below, class 2 nowhere; over noise."""
    chance = torch.Generator().manual_seed(seed)
    shape = (count, channels, side, side)
    pictures = torch.randint(0, 100, shape, dtype=torch.uint8, generator=chance)
    labels = torch.arange(count) % 3
    pictures[labels == 0, :, : side // 2] += 120
    pictures[labels == 1, :, side // 2 :] += 120
    return Pictures(pictures, labels)


def make_data():
    names = ("above", "below", "nowhere")
    parts = {"train": make_pictures(36, 1), "test": make_pictures(30, 2)}
    return PictureData(**parts, label_names=names, name="halves", origin="made for tests")


# ---- batches


def test_batches_hold_each_picture_with_its_label_in_another_order_each_epoch():
    labelled = make_pictures(11)
    batches, orders = PictureBatches(labelled, PREPARE, 4, seed=3), []
    assert len(batches) == 3
    whole = PREPARE.normalise(labelled.pictures)
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        some = list(batches)
        assert [len(batch.target) for batch in some] == [4, 4, 3]
        order = []
        for batch in some:
            for picture, label in zip(*batch, strict=True):
                (place,) = (whole == picture).flatten(1).all(1).nonzero()[:, 0].tolist()
                assert labelled.labels[place] == label
                order.append(place)
        assert sorted(order) == list(range(11))
        orders.append(order)
    assert orders[0] != orders[1]
    plain = [batch.target for batch in PictureBatches(labelled, PREPARE, 4)]
    assert torch.equal(torch.cat(plain), labelled.labels)


def test_batches_stretch_pictures_of_another_size_and_cut_out_the_middle():
    labelled = make_pictures(3, side=8, channels=3)
    colours = {"channels": 3, "mean": (0.1, 0.2, 0.3), "std": 0.5}
    (batch,) = PictureBatches(labelled, Preprocessing(size=4, **colours), 3)
    expected = Preprocessing(size=4, **colours)(list(labelled.pictures))
    assert torch.equal(batch.pictures, expected) and expected.shape == (3, 3, 4, 4)
    cut = Preprocessing(size=8, crop=6, **colours)
    (batch,) = PictureBatches(labelled, cut, 3)
    assert torch.equal(batch.pictures, cut(list(labelled.pictures)))
    (batch,) = PictureBatches(labelled, Preprocessing(size=8, **colours), 3)
    normal = Preprocessing(size=8, **colours).normalise(labelled.pictures)
    assert torch.equal(batch.pictures, normal)


def test_shifts_move_each_picture_its_own_way_and_bring_in_black():
    one = torch.zeros(300, 2, 3, 4, dtype=torch.uint8)
    one[:, 0, 1, 2], one[:, 1, 1, 1] = 200, 100
    batches = PictureBatches(
        Pictures(one, torch.zeros(300, dtype=torch.long)),
        _Grey(size=4, channels=1, mean=0.3, std=0.4),
        300,
        seed=1,
        shifts=1,
    )
    found = ((next(iter(batches)).pictures * 0.4 + 0.3) * 255).round()
    places = found[:, 0].flatten(1).argmax(1)
    assert set(places.tolist()) == {4 * row + column for row in range(3) for column in (1, 2, 3)}
    beside = found[:, 1].flatten(1).argmax(1)
    assert torch.equal(places, beside + 1)  # channels move together
    assert (found.flatten(1).sort(1).values[:, :-2] == 0).all()
    assert (found.flatten(1).sort(1).values[:, -2:] == torch.tensor([100.0, 200.0])).all()


class _Grey(Preprocessing):
    """Takes pictures of any size and number of channels, so that a test sees what moves."""

    def resized(self, pictures):
        return torch.stack(list(pictures))

    def normalise(self, pictures):
        return (pictures.float() / 255 - 0.3) / 0.4


def test_shifted_by_nothing_is_the_same_and_by_much_is_black():
    chance = torch.Generator().manual_seed(0)
    pictures = torch.rand(5, 3, 4, 6)
    assert torch.equal(shifted(pictures, 0, chance), pictures)
    far = shifted(pictures, 50, chance).flatten(1)
    assert ((far == 0).float().mean(1) > 0.3).all() and (far == 0).all(1).any()


def test_half_of_the_pictures_are_mirrored_left_to_right():
    labelled = make_pictures(200)
    (batch,) = PictureBatches(labelled, PREPARE, 200, seed=0, mirrored=True)
    plain = PREPARE.normalise(labelled.pictures)
    chance = torch.Generator().manual_seed(0)
    order = torch.randperm(200, generator=chance)
    same = (batch.pictures == plain[order]).flatten(1).all(1)
    turned = (batch.pictures == plain[order].flip(3)).flatten(1).all(1)
    assert (same ^ turned).all() and 70 < turned.sum() < 130
    assert torch.equal(plain, PREPARE.normalise(labelled.pictures))


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "got 0, 4 and 0"),
        (3, {"batch_size": 0}, "got 3, 0 and 0"),
        (3, {"shifts": -1, "seed": 0}, "got 3, 4 and -1"),
        (3, {"shifts": 1}, "give a seed"),
        (3, {"mirrored": True}, "give a seed"),
    ],
)
def test_batches_of_nothing_or_without_a_seed_are_an_error(count, options, message):
    with pytest.raises(ValueError, match=message):
        PictureBatches(make_pictures(count), PREPARE, **({"batch_size": 4} | options))


def test_pictures_without_labels_are_an_error():
    pictures, labels = make_pictures(3)
    with helpers.as_a_reader(), pytest.raises(ValueError, match="3 pictures have as many labels"):
        PictureBatches(Pictures(pictures, labels[:2]), PREPARE, 2)


# ---- scores


def test_score_is_the_share_of_the_pictures_that_are_right():
    vit, labelled = make_vit(num_classes=3, dropout=0.5).train(), make_pictures(300)
    batches = PictureBatches(labelled, PREPARE, 100, seed=0)  # so that it says all three classes
    train_on_pictures(vit, batches, least_steps=40, epochs=1, learning_rate=0.01)
    found = score_pictures(vit, labelled, PREPARE)
    with torch.no_grad():
        right = vit.eval()(PREPARE.normalise(labelled.pictures)).argmax(1) == labelled.labels
    assert found == pytest.approx(right.float().mean().item())
    assert score_pictures(vit.train(), labelled, PREPARE) == found
    features = read_pictures(vit.eval().features, labelled, PREPARE)
    assert features.shape == (300, 8) and not features.requires_grad


def test_score_by_names_compares_the_wanted_names_only():
    class Says(torch.nn.Module):
        """Sure of "x", then of what is right."""

        def forward(self, pictures):
            right = {0: 3, 1: 0, 2: 2}
            logits = torch.zeros(len(pictures), 4)
            for row in range(len(pictures)):
                logits[row, right[row % 3]] = 1.0
            logits[:, 1] = 2.0
            return logits

    names = {"known": "bxca", "wanted": ("a", "b", "c")}
    assert score_by_names(Says(), make_pictures(9), PREPARE, **names) == 1.0
    with pytest.raises(ValueError, match="knows no 'd': its names are"):
        score_by_names(Says(), make_pictures(9), PREPARE, known="abc", wanted=("a", "d"))


# ---- training


def test_new_head_begins_at_zero_on_the_same_features():
    vit = make_vit(distilled=True).eval()
    state = torch.get_rng_state()
    new = with_new_head(vit, 3).eval()
    assert torch.equal(state, torch.get_rng_state())
    pictures = PREPARE.normalise(make_pictures(4).pictures)
    with torch.no_grad():
        assert torch.equal(new.features(pictures), vit.features(pictures))
        assert torch.equal(new(pictures), torch.zeros(4, 3))
        new.positions.zero_()
    assert new.config.num_classes == 3 and new.teacher_classifier is None
    assert vit.config.num_classes == 5 and vit.positions.abs().sum() > 0


def test_loss_of_a_new_head_is_that_of_guessing():
    new = with_new_head(make_vit(), 3)
    (batch,) = PictureBatches(make_pictures(6), PREPARE, 6)
    assert picture_loss(new, batch).item() == pytest.approx(1.0986, abs=1e-4)


@pytest.mark.parametrize(("last_blocks", "moved"), [(0, "c"), (1, "1nc"), (None, "e01nc")])
def test_training_changes_the_layers_that_were_asked_for(last_blocks, moved):
    new = with_new_head(make_vit(), 3)
    before = copy.deepcopy(new.state_dict())
    batches = PictureBatches(make_pictures(12), PREPARE, 12, seed=0)
    history = train_on_pictures(new, batches, last_blocks=last_blocks, epochs=3, least_steps=20)
    assert len(history.losses) == 20 and history.losses[-1] < history.losses[0]
    assert history.learning_rates[0] < history.learning_rates[1] > history.learning_rates[-1]
    assert max(history.learning_rates) == pytest.approx(2e-3)
    for name, value in new.state_dict().items():
        part = name.split(".")
        what = part[1] if part[0] == "blocks" else {"norm": "n", "classifier": "c"}.get(part[0])
        if not name.endswith("attention.key.bias"):  # no output depends on it
            assert torch.equal(value, before[name]) != ((what or "e") in moved), name
    longer = PictureBatches(make_pictures(12), PREPARE, 1, seed=0)
    assert len(train_on_pictures(new, longer, epochs=2, least_steps=20).losses) == 24


# ---- the ways


def test_ways_leave_the_model_and_repeat_themselves():
    vit, data = make_vit(dropout=0.1), make_data()
    before = copy.deepcopy(vit.state_dict())
    recipe = {"last_blocks": 1, "least_steps": 4, "epochs": 1, "scratch": {}}
    ways = picture_ways(vit, data, PREPARE, batch_size=6, **recipe)
    assert list(ways) == WAYS
    scores = {name: way(2, 1) for name, way in ways.items()}
    state = torch.get_rng_state()
    assert {name: way(2, 1) for name, way in ways.items()} == scores
    assert torch.equal(torch.get_rng_state(), state)
    assert all(abs(found * 30 - round(found * 30)) < 1e-4 for found in scores.values())
    for name, value in vit.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_ways_learn_an_easy_task_from_few_pictures():
    scores = {}
    recipe = {
        "learning_rate": 0.01,
        "least_steps": 100,
        "shifts": 0,
        "last_blocks": 1,
        "scratch": {},
    }
    for name, way in picture_ways(
        shake(make_vit(), 3, 0.15), make_data(), PREPARE, **recipe
    ).items():
        scores[name] = way(8, 0)
    assert scores["SVM on pixels"] > 0.9 and scores["all layers"] > 0.9
    assert min(scores.values()) > 0.6


def test_all_ways_get_the_same_pictures_of_a_draw(monkeypatch):
    drawn, draw = [], PictureData.draw
    monkeypatch.setattr(
        PictureData, "draw", lambda self, *args: drawn.append(args) or draw(self, *args)
    )
    ways = picture_ways(make_vit(), make_data(), PREPARE, **ONE_STEP)
    for way in ways.values():
        way(4, 3)
    assert drawn == [(4, 3)] * 6


def test_ways_are_scored_on_the_test_pictures():
    data = make_data()
    few = data.test.take(torch.arange(3))
    other = PictureData(
        train=data.train, test=few, label_names=data.label_names, name="", origin=""
    )
    for way in picture_ways(make_vit(), other, PREPARE, **ONE_STEP).values():
        score = 3 * way(2, 0)
        assert abs(score - round(score)) < 1e-4


def test_probe_and_support_vectors_are_scored_on_pictures_they_have_not_seen():
    data = make_data()
    wrong = Pictures(data.test.pictures, (data.test.labels + 1) % 3)
    other = PictureData(
        train=data.train, test=wrong, label_names=data.label_names, name="", origin=""
    )
    for name in ("SVM on pixels", "linear probe"):
        assert picture_ways(make_vit(3), other, PREPARE)[name](8, 0) < 0.3


def test_ways_begin_with_their_weights_and_have_their_recipes(monkeypatch):
    begun = {}
    data = make_data()

    def train(model, batches, **recipe):
        begun[name, recipe.pop("seed")] = copy.deepcopy(model), batches, recipe

    monkeypatch.setattr(picture_tuning, "train_on_pictures", train)
    vit = make_vit()
    given = {"learning_rate": 1e-4, "layer_decay": 0.3, "epochs": 7, "last_blocks": 1}
    own = {
        "scratch": {"learning_rate": 0.2, "epochs": 8},
        "head_rate": 0.5,
        "shifts": 2,
        "mirrored": True,
    }
    ways = picture_ways(vit, data, PREPARE, batch_size=9, **given, **own)
    for name in TRAINED:
        for seed in (0, 1):
            ways[name](2, seed)
    rates = {"from scratch": 0.2, "head only": 0.5, "last blocks": 1e-4, "all layers": 1e-4}
    blocks = {"head only": 0, "last blocks": 1}
    for (name, seed), (model, batches, recipe) in begun.items():
        expected = {"learning_rate": rates[name], "layer_decay": 0.3, "epochs": 7}
        if name == "from scratch":
            expected["epochs"] = 8
        if name in blocks:
            expected["last_blocks"] = blocks[name]
        assert recipe == expected, name
        assert (batches.seed, batches.batch_size, batches.shifts) == (seed, 9, 2)
        assert batches.mirrored
        same = torch.equal(
            model.blocks[0].attention.query.weight, vit.blocks[0].attention.query.weight
        )
        assert same == (name != "from scratch")
    usual = picture_ways(vit, data, PREPARE, last_blocks=1)["from scratch"]
    name = "usual"
    usual(2, 0)
    assert begun[name, 0][2] == picture_tuning.SCRATCH
    first, second = (begun["from scratch", seed][0].positions for seed in (0, 1))
    assert not torch.equal(first, second)
