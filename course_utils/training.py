"""One training loop for every lesson: `fit`.

It takes any module, any batches and any loss, and adds what every training needs: a learning-rate
schedule, clipping, evaluation, early stopping, a progress bar, checkpoints, and a history that
draws itself. Ctrl-C ends the training and keeps what was learned. Started by `torchrun`, it trains
on several processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.checkpoints import (
    load_state,
    load_whole,
    random_state,
    save_state,
    set_random_state,
)
from course_utils.distributed import join_processes
from course_utils.history import History
from course_utils.interrupts import CtrlC
from course_utils.losses import Loss
from course_utils.schedules import Schedule, parameter_groups, schedule_factor
from course_utils.show import progress_bar

Evaluation = Callable[[nn.Module], Mapping[str, float]]
_END = object()  # after the last batch; None may be a batch


@dataclass
class _Progress:
    """Where a training is: what a checkpoint has to know besides weights and optimizer."""

    step: int = 0
    epoch: int = 0
    batch_in_epoch: int = 0
    best: float | None = None
    without_improvement: int = 0


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Loss,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    learning_rate: float = 1e-3,
    learning_rate_scales: Mapping[str, float] | None = None,
    weight_decay: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: Schedule = "cosine",
    warmup_steps: int = 0,
    clip_norm: float | None = 1.0,
    evaluate: Evaluation | None = None,
    evaluate_every: int | None = None,
    monitor: str = "loss",
    higher_is_better: bool = False,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 200,
    seed: int = 0,
    progress: bool = True,
    description: str = "training",
) -> History:
    """Train a model in place.

    Parameters
    ----------
    model : nn.Module
        Trained where its parameters lie; left in evaluation mode.
    batches : iterable
        Passed over again each epoch; its `set_epoch(epoch)` is called where it has one. A batch
        is moved to the model's device by its own `to`, or tensor by tensor. Of several processes
        each reads all batches and takes its rows of them.
    loss : callable
        `loss(model, batch)` -> scalar tensor, a mean over rows.
    epochs, steps : int
        How long; exactly one of the two.
    learning_rate : float
        Peak learning rate of AdamW with betas (0.9, 0.98).
    learning_rate_scales : mapping, optional
        See `parameter_groups`.
    weight_decay : float
        AdamW's.
    optimizer : Optimizer, optional
        Takes the place of AdamW; the schedule multiplies its own learning rates.
    schedule, warmup_steps
        See `schedule_factor`.
    clip_norm : float, optional
        Longest gradient; None does not clip.
    evaluate : callable, optional
        `evaluate(model)` -> mapping of names to numbers; called in evaluation mode without
        gradients every `evaluate_every` steps (each epoch by default) and at the end.
    monitor, higher_is_better
        Which of these numbers tells the best weights; they are put back at the end. A number
        that is missing is an error.
    patience : int, optional
        Stop after this many evaluations without improvement.
    checkpoint : path, optional
        A file that is written every `checkpoint_every` steps and at the end. Where it exists,
        training goes on from it, to the same weights as without the break.
    seed : int
        Seeds dropout and whatever else is random here; the global state is left as it was.
    progress : bool
        Show a progress bar.
    description : str
        Text of the bar.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        When the arguments do not fit together, there are no batches, or the checkpoint is of
        another training.
    FloatingPointError
        When the loss is not finite.
    OSError
        When a checkpoint cannot be written; the model keeps the weights of the last step.

    Notes
    -----
    After Ctrl-C the weights of the last whole step stay in the model, and `History.interrupted`
    is True.
    """
    total = _total_steps(batches, epochs, steps)
    if patience is not None and evaluate is None:
        raise ValueError("patience counts evaluations: give evaluate=")
    _check_at_least(1, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
    _check_at_least(1, patience=patience)
    _check_at_least(0, warmup_steps=warmup_steps)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm is above 0, got {clip_norm}; None does not clip")
    with CtrlC() as ctrl_c:
        if optimizer is None:
            groups = parameter_groups(model, learning_rate, learning_rate_scales)
            options = {"betas": (0.9, 0.98), "weight_decay": weight_decay}
            optimizer = torch.optim.AdamW(groups, **options, fused=True)  # one pass: faster
        trainer = _Trainer(model, optimizer, loss, evaluate, total, clip_norm)
        trainer.ctrl_c = ctrl_c
        trainer.settings = {"steps": total, "seed": seed, "schedule": schedule} | {
            "warmup_steps": warmup_steps,
            "learning_rates": [group["lr"] for group in optimizer.param_groups],
            "clip_norm": clip_norm,
            "processes": trainer.team.count,
        }
        trainer.scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: schedule_factor(schedule, step, total, warmup_steps)
        )
        trainer.monitor, trainer.sign = monitor, -1.0 if higher_is_better else 1.0
        trainer.patience = patience
        every = evaluate_every or (len(batches) if hasattr(batches, "__len__") else total)
        bar = progress_bar(total, description, enabled=progress and trainer.team.is_main)
        devices = [trainer.device] if trainer.device.type == "cuda" else []
        # enable_grad: Ctrl-C in the middle of somebody's no_grad may leave gradients off
        with torch.random.fork_rng(devices=devices), torch.enable_grad(), bar:
            torch.manual_seed(seed)
            if checkpoint is not None and trainer.team.from_main(Path(checkpoint).exists):
                trainer.restore(checkpoint)
                bar.advance(trainer.at.step, _mean(trainer.history.losses[-50:]))
            try:
                trainer.run(batches, bar, every, checkpoint, checkpoint_every)
            except KeyboardInterrupt:
                trainer.history.interrupted = True
            finally:
                model.eval()
        if trainer.history.interrupted and trainer.team.is_main:
            print(
                f"{description}: interrupted by Ctrl-C after step {trainer.at.step} of {total}; "
                "the model has the weights of this step"
            )
        return trainer.history


class _Trainer:
    """The parts of `fit` that share state."""

    monitor, sign = "loss", 1.0
    settings: dict[str, Any]  # what has to be the same when a checkpoint is taken up again
    patience: int | None = None
    scheduler: torch.optim.lr_scheduler.LambdaLR
    ctrl_c: CtrlC

    def __init__(self, model, optimizer, loss, evaluate, total, clip_norm) -> None:
        self.model, self.optimizer, self.loss, self.evaluate = model, optimizer, loss, evaluate
        self.total, self.clip_norm = total, clip_norm
        self.team = join_processes(model)
        self.device = self.team.device
        self.history, self.at = History(), _Progress()
        self.best_weights: dict[str, Tensor] | None = None
        self.epoch_random: dict[str, Tensor] | None = None
        self.resume_random: dict[str, Tensor] | None = None

    def run(self, batches, bar, every, checkpoint, checkpoint_every) -> None:
        """Train to the end; KeyboardInterrupt comes between whole steps only."""
        stream = self.stream(batches)
        while (batch := self.next_batch(stream)) is not _END:
            self.train_step(batch)
            bar.advance(1, _mean(self.history.losses[-50:]))
            last = self.at.step == self.total
            if self.evaluate is not None and (last or self.at.step % every == 0):
                self.run_evaluation()
                last = last or self.gives_up()
            if checkpoint is not None and (last or self.at.step % checkpoint_every == 0):
                self.save(checkpoint)
            if last:
                break
        self.keep_best()

    def next_batch(self, stream: Iterator[Any]) -> Any:
        with self.team.may_come(self.ctrl_c):
            return next(stream, _END)

    def stream(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Batches without end, from where the training is."""
        while self.at.step < self.total and not self.gives_up():
            if hasattr(batches, "set_epoch"):
                batches.set_epoch(self.at.epoch)
            if self.epoch_random is None:
                self.epoch_random = random_state(self.device)
            else:  # resumed in mid-epoch: let the batches shuffle as they did then
                set_random_state(self.epoch_random, self.device)
            count = 0
            for count, batch in enumerate(batches, start=1):
                if count > self.at.batch_in_epoch:
                    yield batch
                elif count == self.at.batch_in_epoch:  # before the next batch is read
                    self._resume_random()
            if not count:
                raise ValueError("there are no batches to train on")
            self.at.epoch, self.at.batch_in_epoch, self.epoch_random = self.at.epoch + 1, 0, None

    def gives_up(self) -> bool:
        """Early stopping; also when a checkpoint of a training that stopped so is read again."""
        return self.patience is not None and self.at.without_improvement >= self.patience

    def _resume_random(self) -> None:
        if self.resume_random is not None:
            set_random_state(self.resume_random, self.device)
            self.resume_random = None

    def train_step(self, batch: Any) -> None:
        start = time.perf_counter()
        self.model.train()
        with self.team.may_come(self.ctrl_c):
            value = self.team.loss(self.loss, batch, (self.settings["seed"], self.at.step))
            number = self.team.mean(value.item())
            if not math.isfinite(number):
                raise FloatingPointError(
                    f"the loss is {number} at step {self.at.step + 1}: try a lower learning "
                    "rate or a longer warm-up, and look for a division by zero or an empty mask"
                )
            self.optimizer.zero_grad(set_to_none=True)
            value.backward()
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.history.learning_rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.scheduler.step()
        self.history.losses.append(number)
        self.at.step += 1
        self.at.batch_in_epoch += 1
        self.history.seconds += time.perf_counter() - start

    @torch.no_grad()
    def run_evaluation(self) -> None:
        self.model.eval()
        with self.team.may_come(self.ctrl_c):
            found = self.team.from_main(lambda: self.evaluate(self.model))
        numbers = {name: float(value) for name, value in found.items()}
        if self.monitor not in numbers:
            raise ValueError(f"evaluate gave {sorted(numbers)}, monitor asks for {self.monitor!r}")
        where = {"step": self.at.step, "seconds": self.history.seconds}
        self.history.evaluations.append(where | numbers)
        number, best = numbers[self.monitor], self.at.best
        # A first value of nan would never be beaten.
        if not math.isnan(number) and (best is None or self.sign * number < self.sign * best):
            self.at.best, self.at.without_improvement = number, 0
            self.history.best_step = self.at.step
            self.best_weights = {k: v.clone() for k, v in self.model.state_dict().items()}
        else:
            self.at.without_improvement += 1

    def keep_best(self) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def save(self, path: str | Path) -> None:
        state = {
            "settings": self.settings,
            "at": asdict(self.at),
            "history": asdict(self.history),
            "model": dict(self.model.state_dict()),
            "best": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(self.device),
            "epoch_random": self.epoch_random,
        }
        if self.team.is_main:
            save_state(path, state)

    def restore(self, path: str | Path) -> None:
        state = self.team.from_main(lambda: load_state(path))
        other = f"the checkpoint {path} is of another training"
        hint = "delete it to start anew, or give another path"
        if not isinstance(state, dict) or not {"optimizer", "model", "settings"} <= state.keys():
            raise ValueError(f"{other}: it is no state of a training; {hint}")
        for name, value in self.settings.items():
            if (then := state["settings"].get(name)) != value:
                raise ValueError(f"{other}: {name} was {then}, now {value}; {hint}")
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            load_whole(self.model, state["model"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{other}: {error}; {hint}") from error
        self.history, self.at = History(**state["history"]), _Progress(**state["at"])
        self.scheduler.last_epoch = self.at.step
        self.best_weights = state["best"]
        self.resume_random, self.epoch_random = state["random"], state["epoch_random"]


def _total_steps(batches: Iterable[Any], epochs: int | None, steps: int | None) -> int:
    if (epochs is None) == (steps is None):
        raise ValueError(
            f"give epochs or steps, one of the two; got epochs={epochs}, steps={steps}"
        )
    if epochs is not None and not hasattr(batches, "__len__"):
        raise ValueError("batches without a length: give steps= instead of epochs=")
    total = steps if steps is not None else epochs * len(batches)
    if total < 1:
        raise ValueError(f"there is nothing to train: {total} steps")
    return total


def _check_at_least(least: int, **numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < least:
            raise ValueError(f"{name} is {least} or more, got {number}")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
