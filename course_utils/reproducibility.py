"""Same seed, same result: seeds, the choice of a device, and a report of the environment."""

from __future__ import annotations

import platform
import random

import torch


def seed_everything(seed: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices).

    Examples
    --------
    >>> seed_everything(1); first = torch.rand(2)
    >>> seed_everything(1); bool((first == torch.rand(2)).all())
    True
    """
    import numpy

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def choose_device(name: str | None = None) -> torch.device:
    """The device to train on: CUDA where there is one, else the CPU.

    Apple's MPS is taken only when asked for by name: its losses differ from the other two.

    Parameters
    ----------
    name : str, optional
        "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    ValueError
        When the device that was asked for is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)  # the one check that every kind of device has
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {name!r} was asked for, but this machine or torch has none"
        ) from error
    return torch.device(name)


def parameter_count(model: torch.nn.Module) -> int:
    """Number of learned numbers in a model.

    Examples
    --------
    >>> parameter_count(torch.nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in model.parameters())


def environment() -> dict[str, str]:
    """Versions and hardware that a result may depend on."""
    from importlib.metadata import PackageNotFoundError, version

    report = {"python": platform.python_version(), "system": platform.system()}
    for name in ("torch", "numpy", "matplotlib", "transformers", "datasets", "sacrebleu"):
        try:
            report[name] = version(name)
        except PackageNotFoundError:
            report[name] = "not installed"
    report["torch"] = str(torch.__version__)  # with the build: 2.13.0+cpu
    report["device"] = str(choose_device())
    report["threads"] = str(torch.get_num_threads())
    return report
