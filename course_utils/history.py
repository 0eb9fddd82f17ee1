"""What happened during a training, and its picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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

    def __repr__(self) -> str:
        text = f"History of {len(self.losses)} steps"
        if self.losses:
            text += f" in {self.seconds:.1f} s, loss {self.losses[-1]:.3f}"
        if self.best_step is not None:
            text += f", best at step {self.best_step}"
        if self.interrupted:
            text += f", interrupted by Ctrl-C after step {len(self.losses)}"
        return f"<{text}>"

    def plot(self, ax: Any = None, *, label: str | None = None) -> Any:
        """Draw the loss curve and what was evaluated in the loss's unit; returns the Axes."""
        from course_utils.plotting import loss_curve

        held_out = [(e["step"], e["loss"]) for e in self.evaluations if "loss" in e]
        return loss_curve(self.losses, held_out, ax=ax, label=label)
