"""The training of the shipped vision transformer: its pictures, what it writes, going on."""

import json
import os
import re
from dataclasses import asdict, replace

import helpers
import pytest
import torch

from course_utils.checkpoints import load_state
from course_utils.datasets.glyphs import GLYPHS, draw_glyphs
from course_utils.datasets.labelled_pictures import load_pictures
from course_utils.picture_tuning import picture_ways, read_pictures, score_by_names
from course_utils.pictures import preprocessing_of
from course_utils.pretrain import ViTRecipe, measure_pictures, pretrain_vit, vit
from course_utils.pretrain.__main__ import main
from course_utils.pretrained import load_vit

one_thread = helpers.one_thread
OPTIONS = {"image_size": 16, "patch_size": 8, "num_layers": 1, "num_heads": 2, "d_model": 16}
OPTIONS |= {"batch_size": 8, "steps": 26, "warmup_steps": 4, "seed": 3, "learning_rate": 0.02}
OPTIONS |= {"chunk": 40, "passes": 2, "warp": 0.5}
RECIPE = ViTRecipe(**OPTIONS)
WORDS = [f"--{option.replace('_', '-')}={value}" for option, value in OPTIONS.items()]


@pytest.fixture(autouse=True, scope="module")
def small():
    """Few pictures to measure with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vit, "HELD_OUT", {"validation": 60, "test": 80})
        patch.setattr(vit, "PER_CLASS", (1, 2))
        patch.setattr(vit, "DRAWS", 2)
        patch.setattr(vit, "WAYS", ("SVM on pixels", "linear probe"))
        yield


@pytest.fixture(scope="module")
def shipped(small, tmp_path_factory):
    """A finished folder, its history and the lines that were said."""
    out, said = tmp_path_factory.mktemp("out") / "vit", []
    return out, pretrain_vit(out, recipe=RECIPE, say=said.append), said


def test_pretrain_writes_a_whole_folder_and_nothing_else(shipped):
    out, history, said = shipped
    names = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    assert {*os.listdir(out)} == names
    assert len(history.losses) == 26 and history.losses[-1] < history.losses[0]
    words = r"[\d.]+ nats per picture, accuracy [\d.]+"
    assert re.search(rf"step 26 of 26, \d+ s: {words} on validation pictures", said[-3])
    assert re.fullmatch(rf"{re.escape(str(out))}: {words} on the test pictures", said[-1])


def test_pretrained_opens_in_transformers_with_equal_logits(shipped):
    from safetensors.torch import load_file
    from transformers import ViTForImageClassification, ViTImageProcessorPil

    out = shipped[0]
    stored = load_file(out / "model.safetensors").values()
    assert {part.dtype for part in stored} == {torch.float16}
    theirs = ViTForImageClassification.from_pretrained(out, dtype=torch.float32).eval()
    processor = ViTImageProcessorPil.from_pretrained(out)
    pictures = load_pictures().test.pictures[:7]
    channels_first = {"input_data_format": "channels_first", "return_tensors": "pt"}
    read = processor(list(pictures.numpy()), **channels_first)["pixel_values"]
    assert torch.allclose(read, RECIPE.preprocessing(pictures), atol=1e-6)
    assert torch.equal(read, preprocessing_of(out / "preprocessor_config.json")(pictures))
    with torch.no_grad():
        logits = load_vit(out)(read)
        torch.testing.assert_close(logits, theirs(read).logits, atol=1e-4, rtol=0)
    assert logits.shape == (7, 62) and logits.std() > 0.01
    assert [theirs.config.id2label[k] for k in range(62)] == list(GLYPHS)
    assert theirs.config.architectures == ["ViTForImageClassification"]


def test_card_says_what_the_stored_weights_are_worth(shipped):
    out, history, _ = shipped
    card, stored, data = (out / "README.md").read_text("utf-8"), load_vit(out), load_pictures()
    test = draw_glyphs(80, 3 * 1_000_003 + 1, warp=0.5)
    found = measure_pictures(stored, test, RECIPE.preprocessing)
    assert f"**{found['accuracy']:.4f}**, {found['loss']:.4f} nats per picture" in card
    said = [GLYPHS[k] for k in read_pictures(stored, test, RECIPE.preprocessing).argmax(1)]
    same = [a.lower() == GLYPHS[k].lower() for a, k in zip(said, test.labels, strict=True)]
    assert f"it is {sum(same) / 80:.4f}" in card
    names = {"known": GLYPHS, "wanted": data.label_names}
    zero = score_by_names(stored, data.test, RECIPE.preprocessing, **names)
    assert f"**{zero:.3f}**" in card
    for name in ("SVM on pixels", "linear probe"):
        way = picture_ways(stored, data, RECIPE.preprocessing)[name]
        means = [sum(way(size, seed) for seed in (0, 1)) / 2 for size in (1, 2)]
        assert re.search(rf"\| {name} \| {means[0]:.3f} \(.*\) \| {means[1]:.3f} \(", card)
    # 10 batches an epoch: the third is not finished.
    assert "120 pictures." in card and "208 pictures read" in card
    assert "`python -m course_utils.pretrain vit --out FOLDER --num-layers 1 " in card
    assert "--chunk 40 --passes 2" in card and "--source" not in card
    assert f"{history.seconds:.0f} s on" in card and f"step**: {history.best_step} of 26" in card


def test_loss_and_accuracy_hand_worked():
    class Says(torch.nn.Module):
        """Class 1 with the probability 3/4, of two."""

        def forward(self, pictures):
            return torch.tensor([0.25, 0.75]).log().expand(len(pictures), 2)

    labelled = draw_glyphs(200, glyphs="01")
    found = measure_pictures(Says(), labelled, RECIPE.preprocessing)
    share = labelled.labels.float().mean().item()
    assert found["accuracy"] == pytest.approx(share)
    assert found["loss"] == pytest.approx(0.287682 * share + 1.386294 * (1 - share), rel=1e-5)


def test_each_epoch_draws_other_pictures_and_each_pass_has_another_order(monkeypatch):
    calls = []

    def looking(count, seed, **options):
        calls.append((count, seed, options))
        return draw_glyphs(count, seed, **options)

    monkeypatch.setattr(vit, "draw_glyphs", looking)
    batches = vit.FreshType(RECIPE)
    assert len(batches) == 10
    epochs = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        read = [batch.pictures for batch in batches]
        assert [len(part) for part in read] == [8] * 10
        first, second = torch.cat(read[:5]), torch.cat(read[5:])
        assert not torch.equal(first, second)
        values = [part.flatten(1).sum(1).sort().values for part in (first, second)]
        assert torch.equal(*values)
        epochs.append(values[0])
    assert not torch.equal(epochs[0], epochs[1]) and torch.equal(epochs[0], epochs[2])
    assert [call[0] for call in calls] == [40] * 3
    assert all(options == {"warp": 0.5} for _, _, options in calls)
    list(vit.FreshType(replace(RECIPE, seed=4)))
    seeds = {call[1] for call in calls}
    assert len(seeds) == 3  # epochs 0 and 1, and another recipe's
    del calls[:]
    vit._held_out(vit.Run("vit", "nowhere", RECIPE, lambda line: None))
    assert [call[0] for call in calls] == [60, 80]
    assert all(options == {"warp": 0.5} for _, _, options in calls)
    assert not {call[1] for call in calls} & seeds


def test_recipe_is_the_one_of_the_shipped_model_and_its_seed_decides_the_first_weights():
    sizes = {"image_size": 16, "patch_size": 4, "num_layers": 4, "num_heads": 4, "d_model": 64}
    steps = {"batch_size": 128, "steps": 12000, "warmup_steps": 50, "seed": 0, "dropout": 0.0}
    rates = {"learning_rate": 0.01, "adamw_learning_rate": 0.005, "weight_decay": 0.1}
    drawn = {"warp": 1.0, "chunk": 20_000, "passes": 5}
    assert asdict(ViTRecipe()) == sizes | steps | rates | drawn

    def first(seed, disturb):
        torch.manual_seed(disturb)
        model = replace(RECIPE, seed=seed).model()
        return torch.cat([part.flatten() for part in model.parameters()])

    assert torch.equal(first(0, 1), first(0, 2)) and not torch.equal(first(0, 1), first(1, 1))


class Stop(Exception):
    """What ends a training in the middle."""


def stopped(out, monkeypatch, after):
    """Begin a training and stop it after some steps."""
    loss, calls = vit.picture_loss, []

    def stopping(model, batch):
        calls.append(1)
        if len(calls) > after:
            raise Stop
        return loss(model, batch)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(vit, "picture_loss", stopping)
        pretrain_vit(out, recipe=RECIPE, say=lambda line: None)


def test_pretrain_goes_on_to_the_same_file(shipped, tmp_path, monkeypatch):
    out, said = tmp_path / "vit", []
    stopped(out, monkeypatch, after=17)
    assert os.listdir(out) == ["training"]
    assert load_state(out / "training" / "state.safetensors")["at"]["step"] == 17
    with monkeypatch.context() as patch:
        patch.setattr(vit, "_held_out", lambda run: pytest.fail("drawn again"))
        pretrain_vit(out, recipe=RECIPE, say=said.append)
    assert said[0] == f"going on with the training in {out}"
    for file in {*os.listdir(out)} - {"README.md"}:
        assert (out / file).read_bytes() == (shipped[0] / file).read_bytes(), file


def test_pretrain_with_other_options_does_not_go_on(tmp_path, monkeypatch):
    stopped(tmp_path / "vit", monkeypatch, after=1)
    for option, was, value in (("warp", 0.5, 0.7), ("chunk", 40, 41)):
        message = f"was begun with {option} {was}, now {value}: give the same options"
        with pytest.raises(ValueError, match=message):
            other = replace(RECIPE, **{option: value})
            pretrain_vit(tmp_path / "vit", recipe=other, say=lambda line: None)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--chunk=0", "chunk and passes are 1 or more, got 0 and 2"),
        ("--passes=0", "chunk and passes are 1 or more, got 40 and 0"),
        ("--batch-size=0", "a batch_size of 1 or more"),
        ("--warp=-1", "warp is not below 0"),
        ("--image-size=15", "image_size is a multiple of patch_size"),
        ("--steps=0", "nothing to train: 0 steps"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capsys, word, message):
    with helpers.as_a_reader():
        status = main(["vit", f"--out={tmp_path / 'out'}", *WORDS, word])
    errors = capsys.readouterr().err
    assert status == 1 and message in errors and errors.count("\n") == 1


def test_command_trains_as_the_call_does_and_takes_no_source(shipped, tmp_path, capsys):
    assert main(["vit", f"--out={tmp_path / 'vit'}", *WORDS]) == 0
    file = "model.safetensors"
    assert (tmp_path / "vit" / file).read_bytes() == (shipped[0] / file).read_bytes()
    assert json.loads((tmp_path / "vit" / "config.json").read_text())["image_size"] == 16
    with pytest.raises(SystemExit):
        main(["vit", f"--out={tmp_path / 'other'}", "--source=hub"])
    assert "unrecognized arguments: --source=hub" in capsys.readouterr().err
