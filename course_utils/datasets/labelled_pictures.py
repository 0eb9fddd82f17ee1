"""Pictures and what they show, out of three sources behind one call.

- `"embedded"`: real handwritten digits, 8 x 8, that scikit-learn carries (UCI's "Optical
  Recognition of Handwritten Digits", test part, Alpaydin and Kaynak 1998); no network.
- `"hub"`: CIFAR-10, or another data set with a column of pictures and one of labels.
- a folder: of class folders with pictures, or with the hub's files (`train.parquet` ...).

Whatever the source: bytes, one size, the same pictures in the same parts each time.

Axis letters: N pictures, C channels, Y and X height and width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from course_utils.hub import from_hub
from course_utils.pictures import as_pillow, read_picture, to_bytes, to_channels

CIFAR10 = "uoft-cs/cifar10"
TEST = 0.3  # share of each class that is held out where nobody has split
ENDINGS = (".png", ".jpg", ".jpeg")
COLUMNS = {"picture": ("img", "image"), "label": ("label", "fine_label", "labels")}
PARTS = {"train": "train", "test": "test", "validation": "test", "valid": "test", "val": "test"}


class Pictures(NamedTuple):
    """Pictures and their labels.

    Attributes
    ----------
    pictures : UInt8 "N C Y X"
        C is 1 (grey) or 3 (colours).
    labels : Int "N"
        Index into `PictureData.label_names`.
    """

    pictures: UInt8[Tensor, "N C Y X"]
    labels: Int[Tensor, " N"]

    def take(self, places: Int[Tensor, " K"]) -> Pictures:
        """Those at some places."""
        return Pictures(self.pictures[places], self.labels[places])


@dataclass(frozen=True, kw_only=True)
class PictureData:
    """A data set of labelled pictures.

    Parameters
    ----------
    train, test : Pictures
    label_names : tuple of str
    name : str
        Short: "digits", "cifar10", the name of the folder.
    origin : str
        One sentence that says where the pictures come from.
    """

    train: Pictures
    test: Pictures
    label_names: tuple[str, ...]
    name: str
    origin: str

    def draw(self, per_class: int, seed: int = 0) -> Pictures:
        """Draw training pictures at random, of each class the same number.

        Raises
        ------
        ValueError
            When a class has not so many.

        Examples
        --------
        >>> load_pictures().draw(2).labels.tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
        """
        chance, places = torch.Generator().manual_seed(seed), []
        for label, name in enumerate(self.label_names):
            own = (self.train.labels == label).nonzero()[:, 0]
            if not 1 <= per_class <= len(own):
                raise ValueError(
                    f"{per_class} pictures of {name!r} are asked for and there are {len(own)}: "
                    "ask for 1 or more, and for fewer than there are"
                )
            places.append(own[torch.randperm(len(own), generator=chance)[:per_class]])
        return self.train.take(torch.cat(places))


def load_pictures(
    source: str | Path = "embedded", *, name: str | None = None, size: int | None = None
) -> PictureData:
    """Load labelled pictures, split into training and test.

    Parameters
    ----------
    source : str or Path
        "embedded", "hub", or the path of a folder. That holds one folder for each class, with PNG
        or JPEG files; or `train` and `test` with such folders in them; or `train.parquet` and
        `test.parquet` as the hub has them. What has no parts is split by a fixed seed, 70/30 in
        each class.
    name : str, optional
        Repository on the hub, as "owner/name" or "owner/name/configuration".
    size : int, optional
        Height and width that pictures from files are stretched to; those of one size need none.

    Returns
    -------
    PictureData
        In colours, unless all pictures are grey.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        When an argument or a file is wrong; the message names it.
    ConnectionError
        When the hub did not deliver; the message says how to go on without it.

    Examples
    --------
    >>> data = load_pictures()
    >>> data.train.pictures.shape, data.test.labels.shape
    (torch.Size([1258, 1, 8, 8]), torch.Size([539]))
    """
    if not isinstance(source, str | Path) or not str(source):
        raise TypeError(f"source must be 'embedded', 'hub' or a path, got {source!r}")
    if name is not None and source != "hub":
        raise ValueError(f"name={name!r} is a repository of source='hub', but source={source!r}")
    if size is not None and (source == "embedded" or size < 1):
        raise ValueError(f"size is 1 or more, for pictures of files or the hub, got {size}")
    if source == "embedded":
        return _digits()
    if source == "hub":
        return _from_the_hub(name or CIFAR10, size)
    return _from_folder(Path(source).expanduser(), size)


def split(everything: Pictures, share: float = TEST, seed: int = 0) -> tuple[Pictures, Pictures]:
    """Divide into training and test, each class by the same share, the same way each time."""
    chance, test = torch.Generator().manual_seed(seed), []
    for label in everything.labels.unique():
        own = (everything.labels == label).nonzero()[:, 0]
        own = own[torch.randperm(len(own), generator=chance)]
        test.append(own[: round(share * len(own))])
    held = torch.zeros(len(everything.labels), dtype=torch.bool)
    held[torch.cat(test)] = True
    return everything.take((~held).nonzero()[:, 0]), everything.take(held.nonzero()[:, 0])


def _digits() -> PictureData:
    from sklearn.datasets import load_digits

    counts, labels = load_digits(return_X_y=True)  # 0 to 16
    pictures = (torch.from_numpy(counts) * 255 / 16).round().to(torch.uint8).view(-1, 1, 8, 8)
    train, test = split(Pictures(pictures, torch.from_numpy(labels).long()))
    origin = "handwritten digits of 43 people, 8 x 8, in scikit-learn (UCI, CC BY 4.0)"
    names = tuple(map(str, range(10)))
    return PictureData(train=train, test=test, label_names=names, name="digits", origin=origin)


# ---- a folder


def _from_folder(path: Path, size: int | None) -> PictureData:
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path} (looked for from {Path.cwd()}): give a folder of class "
            "folders with pictures, or source='embedded', which needs no files"
        )
    parquet = {PARTS[f.stem]: str(f) for f in sorted(path.glob("*.parquet")) if f.stem in PARTS}
    if parquet:
        import datasets

        name = path.resolve().name
        loaded = datasets.load_dataset("parquet", data_files=parquet)
        return _of_splits(loaded, name, f"{name}: {', '.join(parquet)}", size)
    folders = {entry.name.lower(): entry for entry in sorted(path.iterdir()) if entry.is_dir()}
    parts = {PARTS[key]: folder for key, folder in folders.items() if key in PARTS}
    found = {part: _class_files(folder) for part, folder in (parts or {"all": path}).items()}
    return _of_files(found, path, size)


def _class_files(folder: Path) -> dict[str, list[Path]]:
    """The picture files of each class folder, by its name."""
    classes = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith((".", "_")):
            files = sorted(f for f in entry.iterdir() if f.suffix.lower() in ENDINGS)
            if not files:
                raise ValueError(f"{entry} has no picture: expected files in {', '.join(ENDINGS)}")
            classes[entry.name] = files
    if len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(classes)} folders of pictures: expected one for each class, two or "
            "more, such as cats/1.png and dogs/1.png"
        )
    return classes


def _of_files(
    found: Mapping[str, Mapping[str, list[Path]]], path: Path, size: int | None
) -> PictureData:
    names = tuple(sorted(set().union(*found.values())))
    for part, classes in found.items():
        if set(classes) != set(names):
            lacking = sorted(set(names) - set(classes))
            raise ValueError(f"{path}: the part {part} has no folder for {', '.join(lacking)}")
    parts = {}
    for part, classes in found.items():
        files = [(file, names.index(name)) for name in names for file in classes[name]]
        pictures = ((file, read_picture(file)) for file, _ in files)
        parts[part] = _stack(pictures, [label for _, label in files], size)
    name = path.resolve().name
    return _made_of(parts, names, name, f"{name}: {', '.join(names[:5])}")


def _stack(pictures: Iterable[tuple[object, Any]], labels: list[int], size: int | None) -> Pictures:
    """Bytes of pictures of one size; `pictures` come with where they are from, for messages."""
    ready, grey = [], True
    for where, picture in pictures:
        grey = grey and picture.mode in ("1", "L")
        try:
            picture = to_channels(picture)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if size is not None:
            picture = picture.resize((size, size))
        ready.append(to_bytes(picture))
        if ready[-1].shape != ready[0].shape:
            sides = [f"{p.shape[1]} x {p.shape[2]}" for p in (ready[0], ready[-1])]
            raise ValueError(
                f"{where} has {sides[1]} pixels, those before it {sides[0]}: say size=, such as "
                "size=32, to stretch all of them"
            )
    stacked = torch.stack(ready)
    return Pictures(stacked[:, :1].contiguous() if grey else stacked, torch.tensor(labels))


def _made_of(
    parts: dict[str, Pictures], names: tuple[str, ...], name: str, origin: str
) -> PictureData:
    """Put parts together; split what is one part only."""
    if len(parts) == 1:
        train, test = split(next(iter(parts.values())))
        origin += ", split by a fixed seed"
    else:
        train, test = parts["train"], parts["test"]
    if not len(train.labels) or not len(test.labels):
        raise ValueError(f"{origin} has too few pictures to train on some and test on others")
    if train.pictures.shape[1:] != test.pictures.shape[1:]:
        sides = [tuple(part.pictures.shape[1:]) for part in (train, test)]
        raise ValueError(f"{origin}: training pictures are {sides[0]}, test pictures {sides[1]}")
    return PictureData(train=train, test=test, label_names=names, name=name, origin=origin)


# ---- the hub


def _from_the_hub(name: str, size: int | None) -> PictureData:
    owner, _, rest = name.partition("/")
    title, _, configuration = rest.partition("/")
    if not owner or not title:
        raise ValueError(f"name must be 'owner/name' or 'owner/name/configuration', got {name!r}")
    loaded = _ask_hub(f"{owner}/{title}", configuration or None)
    return _of_splits(loaded, configuration or title, f"{name} on the hub", size)


def _of_splits(loaded: Mapping[str, Any], name: str, origin: str, size: int | None) -> PictureData:
    """Data of the library `datasets`: a test part comes before a validation part."""
    chosen = {PARTS[key]: rows for key, rows in reversed(loaded.items()) if key in PARTS}
    chosen |= {key: loaded[key] for key in ("train", "test") if key in loaded}
    if "train" not in chosen:
        raise ValueError(f"{origin} has no train part (found: {', '.join(loaded) or 'nothing'})")
    columns = {what: _column(what, chosen["train"], origin) for what in COLUMNS}
    feature = chosen["train"].features[columns["label"]]
    parts = {}
    for part in ("train", "test"):
        if part in chosen:
            rows = chosen[part]
            pictures = (
                (f"{origin}, {part} {k}", as_pillow(row[columns["picture"]]))
                for k, row in enumerate(rows)
            )
            parts[part] = _stack(pictures, list(rows[columns["label"]]), size)
    labels = torch.cat([p.labels for p in parts.values()])
    names = getattr(feature, "names", None) or [str(k) for k in range(int(labels.max()) + 1)]
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"{origin}: labels are 0 to {len(names) - 1}, got {labels.min()} to {labels.max()}"
        )
    return _made_of(parts, tuple(names), name, origin)


def _column(what: str, rows: Any, origin: str) -> str:
    found = [name for name in COLUMNS[what] if name in rows.column_names]
    if not found:
        raise ValueError(
            f"{origin}: the columns found are {', '.join(map(repr, rows.column_names))}; expected "
            f"for the {what} one of {', '.join(map(repr, COLUMNS[what]))}"
        )
    return found[0]


def _ask_hub(repository: str, configuration: str | None) -> Mapping[str, Any]:
    import datasets

    return from_hub(
        lambda: datasets.load_dataset(repository, configuration),
        wanted=" ".join(filter(None, ("the data set", repository, configuration))),
        instead="go on without it by source='embedded', or give a folder that has its files",
    )
