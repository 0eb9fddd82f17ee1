"""The vision transformer that comes with the course: what it weighs, says, and is worth."""

import pytest
import torch

from course_utils.datasets.glyphs import GLYPHS, draw_glyphs
from course_utils.datasets.labelled_pictures import load_pictures
from course_utils.files import data_path
from course_utils.label_curves import label_curve
from course_utils.picture_tuning import picture_ways, score_by_names
from course_utils.pictures import preprocessing_of
from course_utils.pretrain import ViTRecipe, measure_pictures
from course_utils.pretrained import load_vit

FOLDER = data_path("checkpoints", "vit")
FILES = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}


@pytest.fixture(scope="module")
def shipped():
    return load_vit(FOLDER), preprocessing_of(FOLDER / "preprocessor_config.json")


def test_folder_is_small_and_holds_what_is_needed():
    files = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    assert set(files) == FILES and sum(files.values()) < 10e6


def test_card_says_data_command_time_and_worth():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for word in ("Data", "Command", "Recipe", "seed", "Time", "Versions", "Without one\nlabel"):
        assert word in card
    assert "`python -m course_utils.pretrain vit --out FOLDER" in card
    assert "/tmp" not in card and "/home" not in card


def test_it_is_the_same_in_the_library(shipped):
    from transformers import ViTForImageClassification

    model, prepare = shipped
    theirs = ViTForImageClassification.from_pretrained(FOLDER, dtype=torch.float32).eval()
    read = prepare(load_pictures().test.pictures[:20])
    with torch.no_grad():
        torch.testing.assert_close(model(read), theirs(read).logits, atol=1e-4, rtol=1e-4)
    assert theirs.config.id2label[10] == "A"


def test_it_reads_type_that_it_has_not_seen(shipped):
    model, prepare = shipped
    assert torch.equal(
        prepare(draw_glyphs(2).pictures), ViTRecipe().preprocessing(draw_glyphs(2).pictures)
    )
    assert measure_pictures(model, draw_glyphs(1000, 987_654_321), prepare)["accuracy"] > 0.70


def test_it_reads_handwriting_without_a_label(shipped):
    data = load_pictures()
    names = {"known": GLYPHS, "wanted": data.label_names}
    assert score_by_names(shipped[0], data.test, shipped[1], **names) >= 0.70


def test_a_line_on_its_features_learns_from_ten_labels_a_class(shipped):
    model, prepare = shipped
    ways = picture_ways(model, load_pictures(), prepare)
    ((_, _, mean, low, high, _),) = label_curve({"": ways["linear probe"]}, [10], 5)
    assert mean >= 0.93 and high - low < 0.05


@pytest.mark.slow
def test_all_layers_learn_more_from_ten_labels_a_class_than_support_vectors(shipped):
    ways = picture_ways(shipped[0], load_pictures(), shipped[1])
    pixels, layers = (
        sum(ways[name](10, seed) for seed in range(3)) / 3
        for name in ("SVM on pixels", "all layers")
    )
    assert layers >= 0.95 and layers > pixels
