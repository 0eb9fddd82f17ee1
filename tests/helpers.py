"""What several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """For files of tiny models, where threads cost more than they do: name it in the file."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def as_a_reader() -> Iterator[None]:
    """Run a block without the run-time check of shapes, which readers do not have.

    The package's own errors have to be clear without it.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def shake(model: nn.Module, seed: int = 0, std: float = 0.5) -> nn.Module:
    """Give every weight, biases too, a random value that is not small: no term hides as zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * std)
    return model


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a model's weights."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Equal to the last bit."""
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class Odd:
    """Compares with nothing, and cannot be shown."""

    def __eq__(self, other):
        raise ValueError("odd")

    __hash__ = None

    def __repr__(self):
        raise ValueError("odd")


# What somebody may return by accident: nothing of it is an answer.
ODD_RESULTS = [
    *(3, True, 1.5, 1j, "at", b"at", object(), Odd(), [Odd()], [None], [["a"]], {}, set(), (), []),
    *(torch.zeros(()), torch.zeros(3), torch.zeros(0), torch.zeros(2, 3, 4), torch.tensor([1, 2])),
    *(torch.tensor(True), torch.zeros(2).half(), torch.zeros(2, device="meta"), range(3), int, ...),
    *((torch.zeros(3, 1, 8), {}), (torch.zeros(3, 1, 8), {"keys": Odd(), "values": None})),
    *((1, {"keys": 1, "values": 2}), (Odd(), Odd()), float("inf"), -float("inf"), 10**400),
]
