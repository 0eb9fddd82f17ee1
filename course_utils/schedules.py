"""How large each step of a training is: the learning rate over time and over parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import nn

Schedule = Literal["constant", "linear", "cosine", "inverse_sqrt", "trapezoid"]
DECAY = 0.7  # share of the steps in which a trapezoid goes down


def schedule_factor(name: Schedule, step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Share of the peak learning rate at a step counted from 0.

    Every schedule first rises linearly over `warmup_steps`, then goes on as its name says.
    "inverse_sqrt" is the transformer paper's (Vaswani et al. 2017, equation 3), its peak set to 1.
    "trapezoid" stays at 1 for 30 % of the steps, then goes straight down to 0 (Hägele et al. 2024,
    Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations).

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
        *names, last = (f'"{known}"' for known in get_args(Schedule))
        raise ValueError(f"schedule is {', '.join(names)} or {last}, got {name!r}")
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if name == "linear":
        return max(0.0, 1.0 - done)
    if name == "trapezoid":
        return min(1.0, max(0.0, (total_steps - step) / (DECAY * total_steps)))
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
