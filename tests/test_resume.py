"""A training that was stopped goes on from its checkpoint to the same weights, to the bit."""

import os

import helpers
import pytest
import torch
from helpers import as_a_reader, same_weights, weights_of
from test_training import (
    EPOCH,
    Net,
    data,
    plain_batches,
    scripted,
    some_pairs,
    squared,
    tiny_translator,
)
from torch.utils.data import DataLoader, Dataset

from course_utils.batching import LengthBatches
from course_utils.checkpoints import load_state, save_state
from course_utils.losses import translation_loss
from course_utils.training import fit

one_thread = helpers.one_thread


class Stop(Exception):
    """What ends a training in the middle, as a killed process would."""


class NoisyData(Dataset):
    """Examples with random noise, drawn when they are read."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        x, y = data()[index]
        return x + 0.1 * torch.randn(3), y


def recipe(kind):
    """Model, batches and loss of one kind of training, fresh each time; 5 batches an epoch."""
    if kind == "sentences by length":
        return tiny_translator, LengthBatches(some_pairs(), 6, seed=2), translation_loss(0.1)
    batches = {
        "list": plain_batches(),
        "shuffling loader": DataLoader(data(), batch_size=4, shuffle=True),
        "loader with noise": DataLoader(NoisyData(), batch_size=4, shuffle=True),
    }
    return Net, batches[kind], squared


def run(kind, path=None, stop_at=None, seed=0, **options):
    """Train 13 steps, or stop before the step `stop_at` (counted over this call) is learned."""
    make, batches, loss = recipe(kind)
    calls = []

    def stopping(model, batch):
        calls.append(1)
        if len(calls) == stop_at:
            raise Stop
        return loss(model, batch)

    model = make(seed)
    options = {"steps": 13, "learning_rate": 0.01, "warmup_steps": 4, "seed": 5} | options
    options |= {"checkpoint": path, "checkpoint_every": 3, "progress": False}
    try:
        with as_a_reader():  # twice as fast
            history = fit(model, batches, stopping, **options)
    except Stop:
        return None
    return weights_of(model), history


def same_history(left, right):
    def without_seconds(history):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in history.evaluations]

    return (
        left.losses == right.losses
        and left.learning_rates == right.learning_rates
        and left.best_step == right.best_step
        and without_seconds(left) == without_seconds(right)
    )


KINDS = ["sentences by length", "list", "shuffling loader", "loader with noise"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stops", [[5], [7], [12], [2], [EPOCH * 2 + 3], [4, 4, 5]], ids=str)
def test_resume_equals_the_training_without_a_break(kind, stops, tmp_path):
    wanted = run(kind)
    path = tmp_path / "state"
    for stop_at in stops:
        torch.manual_seed(1000 + stop_at)  # another process has another global state
        assert run(kind, path, stop_at, seed=9 if path.exists() else 0) is None
    torch.manual_seed(77)
    # weights of another start: all has to come from the file, where there is one
    found = run(kind, path, seed=9 if path.exists() else 0)
    assert same_history(found[1], wanted[1])
    assert same_weights(found[0], wanted[0])


@pytest.mark.parametrize("every", [3, EPOCH])
def test_resume_at_the_border_of_an_epoch_is_exact(every, tmp_path):
    """The checkpoint of step 15 is the last of an epoch; the next epoch has another order."""
    options = {"steps": 20}
    wanted = run("shuffling loader", **options)
    assert run("shuffling loader", tmp_path / "s", stop_at=17, **options) is None
    assert load_state(tmp_path / "s")["at"]["step"] == 15
    found = run("shuffling loader", tmp_path / "s", seed=9, **options)
    assert same_history(found[1], wanted[1]) and same_weights(found[0], wanted[0])


def held_out(model):
    x, y = plain_batches()[0]
    return {"loss": (model(x) - y).square().mean() + torch.rand(1) * 0.01}


def test_resume_keeps_the_best_weights_from_before_the_break(tmp_path):
    numbers = [5, 1, 4, 3, 2, 6]  # best at step 4, long before the break
    options = {"evaluate_every": 2, "steps": 12}
    wanted = run("list", evaluate=scripted(numbers), **options)
    path = tmp_path / "state"
    assert run("list", path, stop_at=11, evaluate=scripted(numbers), **options) is None
    found = run("list", path, seed=9, evaluate=scripted(numbers[4:]), **options)
    assert wanted[1].best_step == found[1].best_step == 4
    assert same_history(found[1], wanted[1]) and same_weights(found[0], wanted[0])


@pytest.mark.parametrize("kind", KINDS[1:])
def test_resume_with_random_evaluation_is_exact(kind, tmp_path):
    options = {"evaluate": held_out, "evaluate_every": 2}
    wanted = run(kind, **options)
    assert run(kind, tmp_path / "state", stop_at=8, **options) is None
    found = run(kind, tmp_path / "state", seed=9, **options)
    assert same_history(found[1], wanted[1]) and same_weights(found[0], wanted[0])


def test_resume_after_ctrl_c_is_exact(tmp_path):
    make, batches, loss = recipe("shuffling loader")
    calls = []

    def interrupted(model, batch):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return loss(model, batch)

    options = {"steps": 13, "learning_rate": 0.01, "warmup_steps": 4, "seed": 5, "progress": False}
    path = tmp_path / "state"
    history = fit(make(), batches, interrupted, checkpoint=path, checkpoint_every=3, **options)
    assert history.interrupted and len(history.losses) == 7
    found, wanted = run("shuffling loader", path, seed=9), run("shuffling loader")
    assert not found[1].interrupted
    assert same_history(found[1], wanted[1]) and same_weights(found[0], wanted[0])


def test_training_that_has_ended_is_not_trained_again(tmp_path):
    path = tmp_path / "state"
    first = run("list", path)
    again = run("list", path, stop_at=1, seed=9)
    assert same_history(again[1], first[1]) and same_weights(again[0], first[0])


def test_training_that_stopped_early_is_not_trained_again(tmp_path):
    path, options = tmp_path / "state", {"patience": 2, "evaluate_every": 1, "steps": 50}
    first = run("list", path, evaluate=scripted([3, 2, 4, 5]), **options)
    assert len(first[1].losses) == 4
    again = run("list", path, stop_at=1, seed=9, evaluate=scripted([]), **options)
    assert same_history(again[1], first[1]) and same_weights(again[0], first[0])


def test_checkpointing_changes_nothing(tmp_path):
    assert same_weights(
        run("sentences by length", tmp_path / "s")[0], run("sentences by length")[0]
    )


def test_checkpoint_leaves_no_other_file(tmp_path):
    run("list", tmp_path / "state")
    assert os.listdir(tmp_path) == ["state"]


def test_checkpoint_of_other_steps_is_an_error(tmp_path):
    run("list", tmp_path / "state")
    with pytest.raises(ValueError, match="another training: steps was 13, now 14; delete it"):
        run("list", tmp_path / "state", steps=14)


def test_checkpoint_of_another_model_is_an_error_and_changes_nothing(tmp_path):
    run("list", tmp_path / "state")
    model = torch.nn.Sequential(torch.nn.Linear(3, 1))
    before = weights_of(model)
    with pytest.raises(ValueError, match=r"another training.*delete it to start anew"):
        fit(
            model, plain_batches(), squared, steps=13, checkpoint=tmp_path / "state", progress=False
        )
    assert same_weights(weights_of(model), before)


def test_checkpoint_of_other_parameter_groups_is_an_error(tmp_path):
    run("list", tmp_path / "state")
    with pytest.raises(ValueError, match="another training"):
        run("list", tmp_path / "state", learning_rate_scales={"last": 2.0})


@pytest.mark.parametrize("state", [{"step": 3}, [1], {"optimizer": 1, "total": 13}], ids=str)
def test_checkpoint_that_is_another_kind_of_state_is_an_error(tmp_path, state):
    save_state(tmp_path / "state", state)
    with pytest.raises(ValueError, match="another training"):
        run("list", tmp_path / "state")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_checkpoint_that_was_cut_off_is_an_error(tmp_path, share):
    path = tmp_path / "state"
    run("list", path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match="not a whole saved state"):
        run("list", path)
    assert len(path.read_bytes()) == int(len(whole) * share)  # it is the reader's to delete


def test_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    import safetensors.torch

    path, write = tmp_path / "state", safetensors.torch.save_file

    def full(tensors, where, metadata):
        if path.exists():
            where.write_bytes(b"half")
            raise OSError("No space left on device")
        write(tensors, where, metadata=metadata)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        run("list", path)
    monkeypatch.undo()
    assert load_state(path)["at"]["step"] == 3 and os.listdir(tmp_path) == ["state"]
    found, wanted = run("list", path, seed=9), run("list")
    assert same_weights(found[0], wanted[0])


@pytest.mark.parametrize(
    "changed", [{"warmup_steps": 2}, {"learning_rate": 0.5}, {"schedule": "linear"}]
)
def test_checkpoint_of_other_settings_is_an_error(tmp_path, changed):
    run("list", tmp_path / "state")
    name = next(iter(changed))
    with pytest.raises(ValueError, match=rf"another training: {name}s? was .*; delete it"):
        run("list", tmp_path / "state", **changed)
