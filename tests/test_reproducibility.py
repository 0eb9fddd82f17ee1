"""Seeds, devices, the report of the environment."""

import random

import numpy
import pytest
import torch
from torch import nn

from course_utils.reproducibility import (
    choose_device,
    environment,
    parameter_count,
    seed_everything,
)


def draws():
    return random.random(), numpy.random.rand(), torch.rand(1).item()


def test_seed_everything_repeats_python_numpy_and_torch():
    seed_everything(7)
    first = draws()
    seed_everything(7)
    assert draws() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_choose_device_is_cuda_where_there_is_one_else_the_cpu():
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("cuda", torch.cuda.is_available()),
        ("cuda:99", False),
        ("mps", torch.backends.mps.is_available()),
        ("abacus", False),
    ],
)
def test_choose_device_that_is_not_there_is_an_error(name, there):
    if there:
        assert choose_device(name).type == name
    else:
        with pytest.raises(ValueError, match=name):
            choose_device(name)


def test_parameter_count_counts_shared_weights_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))  # 2 * (9 + 3)
    assert parameter_count(model) == 24
    model[1].weight = model[0].weight
    assert parameter_count(model) == 15


def test_environment_reports_versions_as_text():
    report = environment()
    assert report["torch"] == torch.__version__
    assert {"python", "system", "device", "threads", "sacrebleu"} <= report.keys()
    assert all(isinstance(value, str) and value for value in report.values())
