"""A made-up masked language model for exercises.

What it says about a place depends on all tokens and on where they stand. It says, too, what is
wrong with what it is asked.

Axis letters: B batch, T length, V vocabulary, D inner width.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises.checking import Hint
from course_utils.exercises.comparing import normal

MOST_CALLS, LONGEST = 100, 10


class Model(nn.Module):
    """A made-up masked language model, which counts its calls.

    Parameters
    ----------
    size : int
        V.
    seed : int
    """

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        rand = partial(normal, torch.Generator().manual_seed(seed))
        self.words = nn.Parameter(rand(size, 6))  # V D
        self.mix = nn.Parameter(0.6 * rand(LONGEST, LONGEST))
        self.scores = nn.Parameter(rand(6, size))
        self.calls, self.with_gradients = 0, False

    def forward(self, ids: Any) -> SimpleNamespace:
        """Give `mlm_logits`, Float "B T V"."""
        self.calls += 1
        self.with_gradients |= torch.is_grad_enabled()
        if self.calls > MOST_CALLS:
            raise Hint(f"stopped at call number {self.calls} of model: does your loop end?")
        return SimpleNamespace(mlm_logits=self.says(ids))

    def says(self, ids: Any) -> Tensor:
        """The same logits without counting."""
        self._examine(ids)
        length = ids.shape[1]
        hidden = torch.tanh(self.mix[:length, :length] @ self.words[ids.long()])
        return 2 * hidden @ self.scores

    def _examine(self, ids: Any) -> None:
        if not isinstance(ids, Tensor):
            raise Hint(f"model takes a tensor of ids, B T, it got a {type(ids).__name__}: why?")
        shape = tuple(ids.shape)
        if ids.ndim != 2 or 0 in shape:
            raise Hint(
                f"model takes a batch of texts, B T, it got the shape {shape}: one row for each "
                "hidden token?"
            )
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise Hint(f"model takes ids, it got the dtype {ids.dtype}: what made it so?")
        if shape[1] > LONGEST:
            raise Hint(f"model got texts of {shape[1]} tokens, B T = {shape}: which axis is B?")
        if int(ids.min()) < 0 or int(ids.max()) >= len(self.words):
            raise Hint(
                f"model got the ids {int(ids.min())} to {int(ids.max())}, but there are 0 to "
                f"{len(self.words) - 1} only: where do they come from?"
            )
