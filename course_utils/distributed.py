"""One process, or several that train one model together: what `training.fit` asks of them.

`torchrun` starts the processes, Hugging Face Accelerate joins them. Each holds the whole model and
computes the gradient on its rows of each batch; the gradients are averaged, so that all take the
same step. What is random about the batches is the same in each process, what is random in the model
(dropout) is not.

Sources: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from course_utils.batching import row_count, rows_of, to_device
from course_utils.interrupts import CtrlC
from course_utils.losses import Loss

T = TypeVar("T")


class OneProcess:
    """A training in this process alone."""

    is_main, count = True, 1

    def __init__(self, model: nn.Module) -> None:
        self.model, self.device = model, next(model.parameters()).device

    def loss(self, loss: Loss, batch: Any, seed: tuple[int, int]) -> Tensor:
        """The loss of a batch, to go backward from; `seed` is the training's seed and the step."""
        return loss(self.model, to_device(batch, self.device))

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        return value

    def from_main(self, make: Callable[[], T]) -> T:
        """What the main process makes, in every process."""
        return make()

    def may_come(self, ctrl_c: CtrlC) -> AbstractContextManager[None]:
        """Where Ctrl-C harms nothing."""
        return ctrl_c.may_come()


class SeveralProcesses(OneProcess):
    """A training that this process shares with others; each calls the same methods in order."""

    def __init__(self, model: nn.Module) -> None:
        from accelerate import Accelerator

        super().__init__(model)
        self.accelerator = Accelerator(cpu=self.device.type == "cpu")
        self.model = self.accelerator.prepare(model)  # and to the GPU of this process
        self.device, self.count = self.accelerator.device, self.accelerator.num_processes
        self.index, self.is_main = self.accelerator.process_index, self.accelerator.is_main_process

    def loss(self, loss: Loss, batch: Any, seed: tuple[int, int]) -> Tensor:
        """The loss of this process's rows, as its share of the loss of the whole batch."""
        rows = row_count(batch)
        if rows < self.count:
            raise ValueError(
                f"a batch of {rows} rows cannot be shared by {self.count} processes: make the "
                "batches larger, or start fewer processes"
            )
        begin, end = (rows * k // self.count for k in (self.index, self.index + 1))
        batch = to_device(rows_of(batch, slice(begin, end)), self.device)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(hash((*seed, self.index)))
            # The gradients are averaged: a mean over all rows weighs each process by its rows.
            return loss(self.model, batch) * ((end - begin) * self.count / rows)

    def mean(self, value: float) -> float:
        number = torch.tensor(value, dtype=torch.float64, device=self.device)
        return self.accelerator.reduce(number, "mean").item()

    def from_main(self, make: Callable[[], T]) -> T:
        from accelerate.utils import broadcast_object_list

        with torch.random.fork_rng():  # the others draw nothing meanwhile
            made = [make() if self.is_main else None]
        return broadcast_object_list(made)[0]

    @contextmanager
    def may_come(self, ctrl_c: CtrlC) -> Iterator[None]:
        """Stop here, all together, if Ctrl-C has come to one of the processes."""
        if self.mean(float(ctrl_c.arrived)):
            raise KeyboardInterrupt
        yield


def join_processes(model: nn.Module) -> OneProcess:
    """Find out whether `torchrun` started several processes, and make the model theirs."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return SeveralProcesses(model) if several else OneProcess(model)
