"""Running text to train tokenizers and language models on, out of three sources behind one call.

- `"embedded"`: the documentation inside the installed packages (`documentation.py`); no network.
- `"hub"`: WikiText-2 (Merity et al., 2016, "Pointer Sentinel Mixture Models"), or another data set
  with a column `text`, through `datasets.load_dataset`.
- a folder or file of texts, plain or gzipped.

Whatever the source: the same documents in the same parts each time. A source that fails says so; no
other takes its place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from course_utils.datasets.documentation import read_documentation, stable_hash
from course_utils.datasets.folder import PART_NAMES, read_lines
from course_utils.hub import from_hub

WIKITEXT = "Salesforce/wikitext/wikitext-2-raw-v1"
HELD_OUT = 0.05  # share of the documents for each of validation and test
# Texts without titles are cut into documents at empty lines, or else at any line.
LONG, TOO_LONG = 2_000, 8_000  # characters
# The title of a WikiText article; those of its sections have more "=".
_TITLE = re.compile(r" ?= [^=\s](?:[^=]*[^=\s])? = ?")
_NOT_TEXT = re.compile(r"[._].*|(readme|licen[cs]e|about|copying)\b.*")
_EXPECTED = (
    "expected train, test and perhaps validation (or valid, dev, val), or any texts, "
    "ending in .txt or .txt.gz"
)


@dataclass(frozen=True, kw_only=True)
class TextData:
    """A data set of documents.

    Parameters
    ----------
    train, validation, test : list of str
        Documents: chapters, articles, docstrings.
    name : str
        Short: "embedded", "wikitext-2-raw-v1", the name of the folder.
    origin : str
        One sentence that says where the texts come from.
    """

    train: list[str]
    validation: list[str]
    test: list[str]
    name: str
    origin: str

    def first(self, max_bytes: int | None) -> TextData:
        """The same with the first documents of the training part, `max_bytes` of UTF-8 at most.

        So one reading gives a small and a large training part; `load_texts` with `max_bytes` reads
        less of the embedded documentation, and gives the same documents.

        Raises
        ------
        ValueError
            When the first document is larger.
        """
        return replace(self, train=_first(self, max_bytes))


def load_texts(
    source: str | Path = "embedded", *, max_bytes: int | None = None, name: str | None = None
) -> TextData:
    """Load documents, split into training, validation and test.

    Parameters
    ----------
    source : str or Path
        "embedded", "hub", or the path of a folder or file. A folder holds `train`, `test` and
        perhaps `validation` files, or any texts. What has no parts is split by a hash of each
        document, 90/5/5; a missing validation part is taken out of the training part likewise.
    max_bytes : int, optional
        Size of the training part at most, in bytes of UTF-8. Its first documents stay, so a
        smaller limit gives a part of what a larger one gives.
    name : str, optional
        Repository on the hub, as "owner/name" or "owner/name/configuration".

    Returns
    -------
    TextData
        Embedded documents have one paragraph a line and stand in a fixed random order. WikiText's
        lines are unchanged: one article is one document. Other texts are cut at empty lines into
        documents of about 2,000 characters.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError, PermissionError
        When an argument or a file is wrong; the message names it.
    ConnectionError
        When the hub did not deliver; the message says how to go on without it.

    Examples
    --------
    >>> from course_utils.files import data_path
    >>> data = load_texts(data_path("languages"))
    >>> len(data.train), len(data.validation), len(data.test)
    (2, 1, 1)
    """
    _check(source, max_bytes, name)
    if source == "embedded":
        data = _embedded(max_bytes)
    elif source == "hub":
        data = _from_the_hub(name or WIKITEXT)
    else:
        data = _from_files(Path(source).expanduser())
    return data.first(max_bytes)


def _check(source: Any, max_bytes: Any, name: Any) -> None:
    if not isinstance(source, str | Path) or not str(source):
        raise TypeError(f"source must be 'embedded', 'hub' or a path, got {source!r}")
    if name is not None and source != "hub":
        raise ValueError(f"name={name!r} is a repository of source='hub', but source={source!r}")
    if max_bytes is not None and (not isinstance(max_bytes, int) or max_bytes < 1):
        raise ValueError(f"max_bytes must be None or a whole number from 1, got {max_bytes!r}")


def _first(data: TextData, max_bytes: int | None) -> list[str]:
    if max_bytes is None:
        return data.train
    ends = accumulate(len(document.encode()) for document in data.train)
    kept = [document for document, end in zip(data.train, ends, strict=True) if end <= max_bytes]
    if not kept:
        size = len(data.train[0].encode())
        raise ValueError(
            f"max_bytes={max_bytes} leaves no training text of {data.origin}: the first document "
            f"has {size:,} bytes, so give at least {size}"
        )
    return kept


# ---- embedded


def _embedded(max_bytes: int | None) -> TextData:
    """Read as much as is needed: test, validation, and training text up to the limit."""
    parts, packages, size = {"test": [], "validation": [], "train": []}, {}, 0
    for document in read_documentation():
        # Functions of one module say similar things, so all of them go into the same part.
        part = _part(document.module)
        parts[part].append(document.text)
        packages[document.package] = None
        size += len(document.text.encode()) * (part == "train")
        if max_bytes is not None and size > max_bytes:
            break
    if not parts["train"]:
        raise FileNotFoundError(
            f"no documentation in {Path(ast.__file__).parent}: this Python came without its source "
            "files, so use source='hub' or give a folder of texts"
        )
    origin = f"documentation inside the installed packages ({', '.join(packages)})"
    return TextData(**parts, name="embedded", origin=origin)


def _part(key: str) -> str:
    share = stable_hash(key)
    return "test" if share < HELD_OUT else "validation" if share < 2 * HELD_OUT else "train"


def _split(documents: list[str], where: str) -> dict[str, list[str]]:
    """Divide by the hash of each document: what comes or goes elsewhere moves nothing."""
    order = sorted(set(documents), key=stable_hash)
    if len(order) < 3:
        raise ValueError(
            f"{where} is too short to split (documents found: {len(order)}): give more text, or "
            "files called train, validation and test"
        )
    part_of = {document: _part(document) for document in order}
    # A short text has at least one document in each part.
    part_of[order[0]] = "test"
    if "validation" not in part_of.values():
        part_of[next(d for d in order if part_of[d] == "train")] = "validation"
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        parts[part_of[document]].append(document)
    return parts


# ---- texts as lines, from the hub or from files


def cut_documents(lines: Iterable[str]) -> Iterator[str]:
    """Cut lines of text into documents, none of which is blank.

    WikiText is cut before the title of each article (" = Title = " above an empty line), any other
    text after an empty line when it has 2,000 characters, or after any line when it has 8,000. No
    line is changed.
    """
    lines = list(lines)
    followers = [*lines[1:], ""]
    begins = [
        k
        for k, (line, following) in enumerate(zip(lines, followers, strict=True))
        if _TITLE.fullmatch(line) and not following.strip()
    ]
    begins = begins or _block_starts(lines)
    for begin, end in zip([0, *begins], [*begins, len(lines)], strict=True):
        document = "\n".join(lines[begin:end])
        if document.strip():
            yield document


def _block_starts(lines: list[str]) -> list[int]:
    starts, size = [], 0
    for k, line in enumerate(lines):
        size += len(line) + 1
        if size >= (TOO_LONG if line.strip() else LONG):
            starts.append(k + 1)
            size = 0
    return starts


def _made_of(parts: dict[str, list[str]], name: str, origin: str) -> TextData:
    """Put parts together; split what is one part only, or take a validation part out of it."""
    empty = [part for part, documents in parts.items() if not documents]
    if empty:
        raise ValueError(f"{origin} has no text in its {' and '.join(empty)} part")
    if set(parts) == {"train"}:
        parts, how = _split(parts["train"], origin), ", split by hash"
    elif missing := [part for part in ("train", "test") if part not in parts]:
        raise ValueError(
            f"{origin} has no {' and no '.join(missing)} part (found: {', '.join(parts)}): "
            "expected train, test and perhaps validation, or one part that is then split"
        )
    elif "validation" not in parts:
        split = _split(parts["train"], origin)
        parts = parts | {"train": split["train"] + split["test"], "validation": split["validation"]}
        how = ", validation taken out of train by hash"
    else:
        how = ""
    return TextData(**parts, name=name, origin=origin + how)


def _from_files(path: Path) -> TextData:
    files = _text_files(path)
    named = {f: PART_NAMES[stem] for f in files if (stem := _stem(f)) in PART_NAMES}
    found: dict[str, list[str]] = {}
    for file in named or files:  # beside parts, other texts do not count
        part = named.get(file, "train")
        if named and part in found:
            both = ", ".join(file.name for file in named if named[file] == part)
            raise ValueError(f"{path} must have one file for {part}, but it has {both}")
        found.setdefault(part, []).extend(cut_documents(read_lines(file)))
    name = path.resolve().name
    return _made_of(found, name, f"{name}: {', '.join(file.name for file in named or files)}")


def _stem(file: Path) -> str:
    return file.name.lower().removesuffix(".gz").removesuffix(".txt")


def _text_files(path: Path) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file or folder {path} (looked for from {Path.cwd()}): give the path of "
            "your texts, or source='embedded', which needs no files"
        )
    try:
        entries = sorted(path.iterdir()) if path.is_dir() else [path]
    except PermissionError:
        raise PermissionError(f"{path} must not be read: change its permissions") from None
    files = [
        file
        for file in entries
        if file.name.lower().endswith((".txt", ".txt.gz"))
        and (file == path or not _NOT_TEXT.fullmatch(file.name.lower()))
    ]
    if not files:
        held = ", ".join(entry.name for entry in entries[:8]) or "nothing"
        raise ValueError(f"{path} is no text and holds none (found: {held}): {_EXPECTED}")
    return files


def _from_the_hub(name: str) -> TextData:
    owner, _, rest = name.partition("/")
    title, _, configuration = rest.partition("/")
    if not owner or not title:
        raise ValueError(f"name must be 'owner/name' or 'owner/name/configuration', got {name!r}")
    repository, origin = f"{owner}/{title}", f"{name} on the hub"
    loaded = _ask_hub(repository, configuration or None)
    parts = {
        PART_NAMES[split]: _documents_of(loaded[split], f"{origin}, {split}")
        for split in loaded
        if split in PART_NAMES
    }
    return _made_of(parts, configuration or title, origin)


def _documents_of(rows: Any, where: str) -> list[str]:
    """The documents of a split: WikiText's rows are lines, those of others are documents."""
    if "text" not in rows.column_names:
        raise ValueError(
            f"{where}: the columns found are {', '.join(map(repr, rows.column_names))}; expected "
            "'text': choose another data set"
        )
    texts = [(text or "").removesuffix("\n") for text in rows["text"]]
    if any(map(_TITLE.fullmatch, texts[:100])):
        return list(cut_documents(texts))
    return [text for text in texts if text.strip()]


def _ask_hub(repository: str, configuration: str | None) -> dict[str, Any]:
    import datasets

    return from_hub(
        lambda: datasets.load_dataset(repository, configuration),
        wanted=" ".join(filter(None, ("the data set", repository, configuration))),
        instead="go on without it by source='embedded', or give a folder that has its files",
    )
