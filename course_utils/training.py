"""One training loop for every lesson: `fit`.

It takes any module, any batches and any loss, and adds what every training needs: a learning-rate
schedule, clipping, evaluation, early stopping, a progress bar, checkpoints, and a history that
draws itself. Ctrl-C ends the training and keeps what was learned.

Axis letters: B batch, T length, V vocabulary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.checkpoints import (
    load_state,
    load_whole,
    random_state,
    save_state,
    set_random_state,
)
from course_utils.show import progress_bar

Loss = Callable[[nn.Module, Any], Tensor]
Evaluation = Callable[[nn.Module], Mapping[str, float]]
Schedule = Literal["constant", "linear", "cosine", "inverse_sqrt"]


def masked_cross_entropy(
    logits: Float[Tensor, "B T V"],
    target: Int[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the positions that `mask` calls real, in nats per token.

    Examples
    --------
    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])
    >>> mask = torch.tensor([[True, False]])  # the second position, badly wrong, is padding
    >>> round(masked_cross_entropy(logits, torch.tensor([[0, 1]]), mask).item(), 4)
    0.6931
    """
    return nn.functional.cross_entropy(
        logits[mask], target[mask], label_smoothing=label_smoothing
    )


def translation_loss(label_smoothing: float = 0.0) -> Loss:
    """Loss of a translator under teacher forcing on a `PairBatch`; padding does not count.

    Parameters
    ----------
    label_smoothing : float
        Share of the target probability that is spread over all words (Szegedy et al. 2016,
        Rethinking the Inception Architecture for Computer Vision, section 7).
    """

    def loss(model: nn.Module, batch: Any) -> Tensor:
        logits, _ = model(batch.source, batch.source_mask, batch.target_input)
        return masked_cross_entropy(logits, batch.target_output, batch.output_mask, label_smoothing)

    return loss


def schedule_factor(name: Schedule, step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Share of the peak learning rate at a step counted from 0.

    Every schedule first rises linearly over `warmup_steps`, then goes on as its name says.
    "inverse_sqrt" is the transformer paper's (Vaswani et al. 2017, equation 3), its peak set to 1.

    Raises
    ------
    ValueError
        When the name is unknown.

    Examples
    --------
    >>> [round(schedule_factor("linear", step, 10, warmup_steps=2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.12]
    """
    if name not in get_args(Schedule):
        raise ValueError(
            f'schedule is "constant", "linear", "cosine" or "inverse_sqrt", got {name!r}'
        )
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if name == "linear":
        return max(0.0, 1.0 - done)
    if name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    if name == "inverse_sqrt":
        return math.sqrt(max(1, warmup_steps) / (step + 1))
    return 1.0


def parameter_groups(
    model: nn.Module, learning_rate: float, scales: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Split a model's parameters by name, each group with its own learning rate.

    Parameters
    ----------
    model : nn.Module
    learning_rate : float
        Rate of the parameters that no key of `scales` names.
    scales : mapping of str to float, optional
        Part of a parameter's name to a factor on the rate; 0 freezes. First match counts.

    Raises
    ------
    ValueError
        When a key matches no parameter.

    Examples
    --------
    >>> model = nn.ModuleDict({"embedding": nn.Embedding(3, 2), "out": nn.Linear(2, 3)})
    >>> [(len(g["params"]), g["lr"]) for g in parameter_groups(model, 0.5, {"embedding": 4.0})]
    [(2, 0.5), (1, 2.0)]
    """
    scales = dict(scales or {})
    groups: dict[str | None, list[nn.Parameter]] = {key: [] for key in (None, *scales)}
    names = [name for name, _ in model.named_parameters()]
    if unused := [key for key in scales if not any(key in name for name in names)]:
        raise ValueError(f"no parameter's name contains {unused[0]!r}; names are {names[:8]} ...")
    for name, parameter in model.named_parameters():
        key = next((key for key in scales if key in name), None)
        if scales.get(key, 1.0) == 0:
            parameter.requires_grad_(False)
        elif parameter.requires_grad:
            groups[key].append(parameter)
    return [
        {"params": params, "lr": learning_rate * scales.get(key, 1.0)}
        for key, params in groups.items()
        if params
    ]


@dataclass
class History:
    """What happened during a training.

    Parameters
    ----------
    losses : list of float
        Training loss of each step.
    learning_rates : list of float
        Learning rate of each step (of the first parameter group).
    evaluations : list of dict
        What `evaluate` returned, with "step" and "seconds" (training time until then).
    seconds : float
        Training time, evaluations left out.
    best_step : int or None
        Step of the best evaluation.
    interrupted : bool
        True after Ctrl-C.
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    evaluations: list[dict[str, float | int]] = field(default_factory=list)
    seconds: float = 0.0
    best_step: int | None = None
    interrupted: bool = False

    def plot(self, ax: Any = None, *, label: str | None = None) -> Any:
        """Draw the loss curve and what was evaluated in the loss's unit; returns the Axes."""
        from course_utils.plotting import loss_curve

        held_out = [(e["step"], e["loss"]) for e in self.evaluations if "loss" in e]
        return loss_curve(self.losses, held_out, ax=ax, label=label)


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
        is moved to the model's device by its own `to`, or tensor by tensor.
    loss : callable
        `loss(model, batch)` -> scalar tensor.
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

    Notes
    -----
    After Ctrl-C the weights of the last step stay in the model, `History.interrupted` is True.
    """
    total = _total_steps(batches, epochs, steps)
    if patience is not None and evaluate is None:
        raise ValueError("patience counts evaluations: give evaluate=")
    _check_at_least(1, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
    _check_at_least(1, patience=patience)
    _check_at_least(0, warmup_steps=warmup_steps)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm is above 0, got {clip_norm}; None does not clip")
    if optimizer is None:
        groups = parameter_groups(model, learning_rate, learning_rate_scales)
        optimizer = torch.optim.AdamW(
            groups, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True  # one pass: faster
        )
    trainer = _Trainer(model, optimizer, loss, evaluate, total, clip_norm)
    trainer.scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule_factor(schedule, step, total, warmup_steps)
    )
    trainer.monitor, trainer.sign = monitor, -1.0 if higher_is_better else 1.0
    trainer.patience = patience
    every = evaluate_every or (len(batches) if hasattr(batches, "__len__") else total)
    bar = progress_bar(total, description, enabled=progress)
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), bar:
        torch.manual_seed(seed)
        if checkpoint is not None and Path(checkpoint).exists():
            trainer.restore(checkpoint)
            bar.advance(trainer.at.step, _mean(trainer.history.losses[-50:]))
        try:
            for batch in trainer.stream(batches):
                trainer.train_step(batch)
                bar.advance(1, _mean(trainer.history.losses[-50:]))
                last = trainer.at.step == total
                if evaluate is not None and (last or trainer.at.step % every == 0):
                    trainer.run_evaluation()
                    last = last or trainer.gives_up()
                if checkpoint is not None and (last or trainer.at.step % checkpoint_every == 0):
                    trainer.save(checkpoint)
                if last:
                    break
            trainer.keep_best()
        except KeyboardInterrupt:
            trainer.history.interrupted = True
    model.eval()
    return trainer.history


class _Trainer:
    """The parts of `fit` that share state."""

    monitor = "loss"
    sign = 1.0
    patience: int | None = None
    scheduler: torch.optim.lr_scheduler.LambdaLR

    def __init__(self, model, optimizer, loss, evaluate, total, clip_norm) -> None:
        self.model, self.optimizer, self.loss, self.evaluate = model, optimizer, loss, evaluate
        self.total, self.clip_norm = total, clip_norm
        self.device = next(model.parameters()).device
        self.history, self.at = History(), _Progress()
        self.best_weights: dict[str, Tensor] | None = None
        self.epoch_random: dict[str, Tensor] | None = None
        self.resume_random: dict[str, Tensor] | None = None

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
        value = self.loss(self.model, _move(batch, self.device))
        if not math.isfinite(value.item()):
            raise FloatingPointError(
                f"the loss is {value.item()} at step {self.at.step + 1}: try a lower learning "
                "rate or a longer warm-up, and look for a division by zero or an empty mask"
            )
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.history.learning_rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.scheduler.step()
        self.history.losses.append(value.item())
        self.at.step += 1
        self.at.batch_in_epoch += 1
        self.history.seconds += time.perf_counter() - start

    @torch.no_grad()
    def run_evaluation(self) -> None:
        self.model.eval()
        numbers = {name: float(value) for name, value in self.evaluate(self.model).items()}
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
            "total": self.total,
            "at": asdict(self.at),
            "history": asdict(self.history),
            "model": dict(self.model.state_dict()),
            "best": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(self.device),
            "epoch_random": self.epoch_random,
        }
        save_state(path, state)

    def restore(self, path: str | Path) -> None:
        state = load_state(path)
        other = f"the checkpoint {path} is of another training"
        hint = "delete it to start anew, or give another path"
        if not isinstance(state, dict) or not {"optimizer", "model", "total"} <= state.keys():
            raise ValueError(f"{other}: it is no state of a training; {hint}")
        if state["total"] != self.total:
            raise ValueError(f"{other}: of {state['total']} steps, not {self.total}; {hint}")
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
        raise ValueError(f"give epochs or steps, one of the two; got epochs={epochs}, steps={steps}")
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


def _move(batch: Any, device: torch.device) -> Any:
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: _move(part, device) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        parts = [_move(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
