"""Weights and training states on disk, as safetensors: nothing is unpickled, no half-written file.

A state is any nesting of dicts, lists and tuples of tensors and plain values, as the `state_dict`
of modules and optimizers are. Tensors go into the file's body, the rest as JSON into its header.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.files import atomic_write, refuse_folder


def save_state(path: str | Path, state: Any) -> None:
    """Write a nested state; a crash in the middle leaves the old file.

    Raises
    ------
    TypeError
        When the state holds something that is neither a tensor nor a plain value.
    OSError
        When the system refuses, as with a full disk; the old file is whole then.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "state.safetensors"
    >>> save_state(path, {"step": 3, 7: (torch.ones(2), None)})
    >>> load_state(path)
    {'step': 3, 7: (tensor([1., 1.]), None)}
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_pack(state, tensors))
    needed = len(skeleton) + sum(tensor.nbytes for tensor in tensors.values())
    with atomic_write(path, needed=needed) as temporary:
        try:
            save_file(tensors, temporary, metadata={"state": skeleton})
        except SafetensorError as error:  # what the system said is in its text only
            if found := re.search(r"(?:os error|code:) (\d+)", str(error)):
                number = int(found[1])  # Windows has numbers of its own: they go last
                raise OSError(number, str(error), None, number) from error
            raise


def load_state(path: str | Path) -> Any:
    """Read what `save_state` wrote.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        When there is no such file, or a folder.
    ValueError
        When the file is cut off, broken or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    if not refuse_folder(path).is_file():
        raise FileNotFoundError(f"there is no saved state at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            skeleton = json.loads((file.metadata() or {})["state"])
            return _unpack(skeleton, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a whole saved state ({error}): delete it, or take another file"
        ) from error


def save_weights(path: str | Path, model: nn.Module) -> None:
    """Write a model's weights."""
    save_state(path, model.state_dict())


def load_weights(path: str | Path, model: nn.Module) -> None:
    """Read a model's weights into it.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_state`, or when the weights are those of another model.
    """
    try:
        load_whole(model, load_state(path))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not hold weights of this model: {error}") from error


def load_whole(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put weights into a model; when they do not fit, the model stays as it was.

    Raises
    ------
    RuntimeError, TypeError, AttributeError
        When names or shapes differ; PyTorch's own message, after it has copied what does fit.
    """
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        model.load_state_dict(weights)
    except BaseException:  # Ctrl-C, too
        model.load_state_dict(before)
        raise


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()  # tied weights share memory
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(part, tensors)] for key, part in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(part, tensors) for part in value]}
    if isinstance(value, list):
        return [_pack(part, tensors) for part in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a state holds tensors and plain values, got {type(value).__name__}")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(part, tensors) for key, part in content}
    return tuple(_unpack(part, tensors) for part in content)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of torch's random numbers, to go on from exactly."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on from what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
