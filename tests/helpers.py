"""What several test files share."""

from __future__ import annotations

import itertools
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


def texts_in(axes):
    """All words of a drawing that can be seen, and where they stand."""
    found = []
    for ax in axes:
        found += [*ax.texts, ax.title]
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = sorted(axis.get_view_interval())  # labels outside are not drawn
            labels = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
            found += [axis.label, *(label for place, label in labels if low <= place <= high)]
    return [(text, text.get_window_extent()) for text in found if text.get_text()]


def check_words(figure, smallest: float) -> None:
    """The words of a figure are large enough; none is cut, none touches another."""
    figure.draw_without_rendering()
    places = texts_in(figure.axes)
    assert min(word.get_fontsize() for word, _ in places) >= smallest
    for word, place in places:
        assert place.x0 >= -1 and place.y0 >= -1, f"{word} is cut"
        assert place.x1 <= figure.bbox.x1 + 1 and place.y1 <= figure.bbox.y1 + 1, f"{word} is cut"
    for (one, left), (two, right) in itertools.combinations(places, 2):
        assert not left.shrunk(0.98, 0.9).overlaps(right.shrunk(0.98, 0.9)), f"{one} over {two}"
