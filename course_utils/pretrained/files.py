"""A checkpoint of the `transformers` library: its files found, read and checked.

A checkpoint is a folder with `config.json` and `model.safetensors` (or several files and their
index), or a repository of the hub with the same files. Only safetensors files are read: nothing is
unpickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from course_utils.hub import from_hub

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
INDEX = f"{WEIGHTS}.index.json"  # of weights in several files
Find = Callable[[str], Path | None]
# A setting, the values that we can build, and its value where a configuration does not name it.
Fixed = Mapping[str, tuple[tuple[Any, ...], Any]]


def finder(place: str, opener: str) -> Find:
    """From the name of a file to its path, None when there is none; `opener` is for messages.

    Raises
    ------
    FileNotFoundError
        When there is no such folder, and the place is no name on the hub.
    """
    if Path(place).is_dir():
        return lambda file: path if (path := Path(place) / file).is_file() else None
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", place):
        raise FileNotFoundError(f"there is no folder {place!r}, and it is no name on the hub")

    def find(file: str) -> Path | None:
        return from_hub(
            lambda: _download(place, file),
            wanted=f"{file} of the model {place}",
            instead=f"give {opener} the folder of a copy",
        )

    return find


def _download(name: str, file: str) -> Path | None:
    """A file of a repository, through the cache; None when the repository has no such file."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file))
    except EntryNotFoundError as error:
        asked = not isinstance(error, LocalEntryNotFoundError)
        if asked or try_to_load_from_cache(name, file) is _CACHED_NO_EXIST:
            return None
        raise


def read_config(
    find: Find,
    place: str,
    what: str,
    fixed: Fixed,
    needed: Iterable[str] = (),
    *,
    name: str = CONFIG,
) -> dict[str, Any]:
    """The configuration, of a model or of something else, which has to be `what` we can build.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is none, it is broken, a setting is not one of `fixed`, or a needed one lacks.
    """
    if (file := find(name)) is None:
        raise FileNotFoundError(f"{place} has no {name}: it is no checkpoint of `transformers`")
    found = read_json(file, place)
    for setting, (wanted, usual) in fixed.items():
        if (got := found.get(setting, usual)) not in wanted:
            known = " or ".join(map(repr, wanted))
            raise ValueError(f"{place} is no {what}: {setting} is {known}, got {got!r}")
    if lacking := [setting for setting in needed if setting not in found]:
        raise ValueError(f"{name} of {place} lacks {lacking[0]!r}")
    return found


def one_rate(found: Mapping[str, Any], names: Iterable[str], place: str, ours: str) -> float:
    """The rate of dropout, which is one and the same everywhere.

    Raises
    ------
    ValueError
        When there are several.
    """
    rates = {name: found.get(name, 0.1) for name in names}
    if len(set(rates.values())) > 1:
        raise ValueError(f"{ours} has one rate of dropout, {place} has {rates}: edit its {CONFIG}")
    return next(iter(rates.values()))


def read_json(file: Path, place: str) -> dict[str, Any]:
    """A file that holds one JSON object; ValueError where it does not."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file.name} of {place} is broken ({error}): fetch it again") from error


def read_tensors(find: Find, place: str, theirs: str) -> dict[str, Tensor]:
    """All tensors, of one file or of several, in single precision; `theirs` is for messages.

    Raises
    ------
    FileNotFoundError, ValueError
        When a file is not there, or is cut off.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = {WEIGHTS: find(WEIGHTS)}
    if files[WEIGHTS] is None and (index := find(INDEX)) is not None:
        names = read_json(index, place).get("weight_map", {}).values()
        files = {name: find(name) for name in sorted(set(names))}
    tensors: dict[str, Tensor] = {}
    for name, file in files.items():
        if file is None:
            raise FileNotFoundError(
                f"{place} has no {name}. Where there is another format only, convert it: "
                f"{theirs}.from_pretrained(...).save_pretrained(folder) of `transformers`"
            )
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise ValueError(
                f"{name} of {place} is cut off or broken ({error}): fetch it again"
            ) from error
    return {name: tensor.float() for name, tensor in tensors.items()}


def check_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], place: str) -> None:
    """Refuse tensors that are not those which the configuration asks for.

    Raises
    ------
    ValueError
        When one is missing, too many or of another shape.
    """
    missing, other = sorted(wanted.keys() - found), sorted(found.keys() - wanted)
    if missing or other:
        raise ValueError(
            f"the weights of {place} are not those of its {CONFIG}: {len(missing)} missing "
            f"{missing[:3]}, {len(other)} too many {other[:3]}"
        )
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(
                f"{name} of {place} has the shape {tuple(tensor.shape)}, its {CONFIG} says "
                f"{tuple(wanted[name].shape)}"
            )
