"""Files of weights and states: whole or an error, never code."""

import math
import os

import pytest
import safetensors.torch
import torch
from helpers import same_weights, shake, weights_of
from torch import nn

from course_utils.checkpoints import (
    load_state,
    load_weights,
    random_state,
    save_state,
    save_weights,
    set_random_state,
)


def same(left, right):
    """Equal in kind and value, NaN equal to NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or (left != left and right != right)


def small_model(width=3, seed=0):
    return shake(nn.Sequential(nn.Linear(2, width), nn.Linear(width, 2)), seed=seed)


def test_save_and_load_state_give_the_same_nesting(tmp_path):
    state = {
        "tensor": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
        7: [torch.tensor(3), torch.empty(0, 4), (torch.tensor([True]), None)],
        "dict": {"tensor": "0", "dict": [], "tuple": (), "list": [[1], {}]},
        "numbers": (1, 2.5, math.inf, math.nan, 0.1 + 0.2, True, "ж"),
        "types": [torch.ones(2, dtype=t) for t in (torch.bfloat16, torch.uint8, torch.float64)],
    }
    save_state(tmp_path / "state", state)
    assert same(load_state(tmp_path / "state"), state)


@pytest.mark.parametrize("state", [None, 3, [], {}, torch.ones(2)], ids=str)
def test_save_and_load_state_without_nesting(tmp_path, state):
    save_state(tmp_path / "state", state)
    assert same(load_state(tmp_path / "state"), state)


def test_saved_optimizer_goes_on_to_the_same_weights(tmp_path):
    def steps(model, optimizer, count):
        for k in range(count):
            optimizer.zero_grad()
            model(torch.full((4, 2), float(k))).square().sum().backward()
            optimizer.step()

    whole, part = small_model(), small_model()
    optimizers = [torch.optim.AdamW(model.parameters(), amsgrad=True) for model in (whole, part)]
    steps(whole, optimizers[0], 3)
    steps(part, optimizers[1], 3)
    save_state(tmp_path / "state", [part.state_dict(), optimizers[1].state_dict()])
    other = small_model(seed=9)
    fresh = torch.optim.AdamW(other.parameters(), lr=5.0)
    weights, moments = load_state(tmp_path / "state")
    other.load_state_dict(weights)
    fresh.load_state_dict(moments)
    steps(whole, optimizers[0], 3)
    steps(other, fresh, 3)
    assert same_weights(weights_of(whole), weights_of(other))


def test_save_and_load_weights_of_shared_parameters(tmp_path):
    model, other = small_model(width=2), small_model(width=2, seed=1)
    model[1].weight, other[1].weight = model[0].weight, other[0].weight
    save_weights(tmp_path / "w", model)
    load_weights(tmp_path / "w", other)
    assert same_weights(weights_of(model), weights_of(other))
    assert other[1].weight is other[0].weight


@pytest.mark.parametrize(
    "wrong", [small_model(width=4), nn.Linear(2, 3), nn.Sequential(*small_model(), nn.Linear(2, 2))]
)
def test_load_weights_of_another_model_is_an_error_and_changes_nothing(tmp_path, wrong):
    save_weights(tmp_path / "w", small_model(seed=3))
    before = weights_of(wrong)
    with pytest.raises(ValueError, match="does not hold weights of this model"):
        load_weights(tmp_path / "w", wrong)
    assert same_weights(weights_of(wrong), before)


@pytest.mark.parametrize("state", [[1, 2], None, 7, {"weight": 3}], ids=str)
def test_load_weights_of_a_state_that_is_no_weights_is_an_error(tmp_path, state):
    save_state(tmp_path / "w", state)
    with pytest.raises(ValueError, match="does not hold weights of this model"):
        load_weights(tmp_path / "w", nn.Linear(2, 2))


def test_load_state_of_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved state at .*nothing"):
        load_state(tmp_path / "nothing")


def test_load_state_of_a_file_cut_anywhere_is_an_error(tmp_path):
    path = tmp_path / "state"
    save_state(path, {"model": weights_of(small_model()), "step": 3})
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"not a whole saved state.*delete it"):
            load_state(path)


def test_load_state_of_another_kind_of_file_is_an_error(tmp_path):
    path = tmp_path / "state"
    path.write_text("a poem of several lines " * 9)
    with pytest.raises(ValueError, match="not a whole saved state"):
        load_state(path)
    for metadata in (None, {"format": "pt"}, {"state": "{not json"}, {"state": '{"tensor": "9"}'}):
        safetensors.torch.save_file({"0": torch.ones(2)}, path, metadata=metadata)
        with pytest.raises(ValueError, match="not a whole saved state"):
            load_state(path)


def test_load_state_never_unpickles(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"model": Bomb()}, tmp_path / "state")
    with pytest.raises(ValueError, match="not a whole saved state"):
        load_state(tmp_path / "state")
    assert not (tmp_path / "exploded").exists()


def test_save_state_of_something_else_is_an_error_and_leaves_the_old_file(tmp_path):
    save_state(tmp_path / "state", {"step": 1})
    with pytest.raises(TypeError, match="got set"):
        save_state(tmp_path / "state", {"step": {2}})
    assert load_state(tmp_path / "state") == {"step": 1} and os.listdir(tmp_path) == ["state"]


def test_save_state_that_fails_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    def cut(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    save_state(tmp_path / "state", {"step": 1})
    monkeypatch.setattr(safetensors.torch, "save_file", cut)
    with pytest.raises(OSError, match="No space"):
        save_state(tmp_path / "state", {"step": 2})
    assert load_state(tmp_path / "state") == {"step": 1} and os.listdir(tmp_path) == ["state"]


def test_random_state_goes_on_exactly(tmp_path):
    torch.manual_seed(3)
    torch.rand(5)
    save_state(tmp_path / "state", random_state(torch.device("cpu")))
    wanted = torch.rand(4), torch.randn(3)
    torch.manual_seed(99)
    set_random_state(load_state(tmp_path / "state"), torch.device("cpu"))
    assert torch.equal(torch.rand(4), wanted[0]) and torch.equal(torch.randn(3), wanted[1])
