"""Sentence pairs from files: which file is which part, and how its lines become pairs.

Reads what ManyThings/Tatoeba ships (`english<TAB>other[<TAB>attribution]`, no header), files with
named columns (tab-separated, JSON lines, Parquet), plain or gzipped. Nothing is written, and
nothing is guessed: whatever does not fit raises an error that names the file and the line.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENDINGS = (".tsv", ".txt", ".tsv.gz", ".txt.gz", ".jsonl", ".parquet")
PART_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "val": "validation",
    "test": "test",
}
_PART_FILE = re.compile(rf"({'|'.join(PART_NAMES)})(?:-\d+-of-(\d+))?")
_NOT_DATA = re.compile(r"[._].*|(readme|licen[cs]e|about|copying)\b.*")
# A first line made of these words only is a header, whichever languages are asked for.
_HEADER_WORD = re.compile(
    "source|target|src|tgt|english|russian|french|german|spanish|italian|eng|rus|fra|deu|spa|ita|"
    "ar|cs|de|en|es|fi|fr|he|hi|it|ja|ko|nl|pl|pt|ru|sv|tr|uk|zh"
)
_EXPECTED = (
    "expected train, test and perhaps validation (or valid, dev, val), "
    f"or one single file of pairs, ending in {', '.join(ENDINGS)}"
)


def find_parts(path: Path) -> dict[str, list[Path]]:
    """Find the files of a folder by the name of their part.

    Parameters
    ----------
    path : Path
        A folder, or one file of pairs.

    Returns
    -------
    dict of str to list of Path
        "train", "test" and perhaps "validation"; or "all" for one file that is still to be split.
        A part has several files when it is cut as the hub does (`train-00000-of-00002.parquet`).

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        When there is nothing at `path`, it must not be read, or its files are not clear.
    """
    with _readable(path):
        if not path.is_dir():
            path.stat()
            if not _ending(path):
                raise ValueError(f"{path} is of no known kind: {_EXPECTED}")
            return {"all": [path]}
        entries = sorted(path.iterdir())
    files = [f for f in entries if _ending(f) and not _NOT_DATA.fullmatch(f.name.lower())]
    if not files:
        held = ", ".join(entry.name for entry in entries[:8]) or "nothing"
        raise ValueError(f"{path} has no sentence pairs (it holds {held}): {_EXPECTED}")
    return _by_part(path, files)


def complete(parts: dict[str, Any], where: object) -> dict[str, Any]:
    """Check that parts make a data set; a lone training part is "all", still to be split."""
    if set(parts) in ({"train"}, {"all"}):
        return {"all": next(iter(parts.values()))}
    missing = [part for part in ("train", "test") if part not in parts]
    if missing:
        found = ", ".join(parts) or "nothing"
        raise ValueError(
            f"{where} has no {' and no '.join(missing)} part (found: {found}): expected train, "
            "test and perhaps validation, or one part that is then split"
        )
    return parts


def read_pairs(file: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Read the raw (source, target) sentences of one file, in its order.

    Parameters
    ----------
    file : Path
        Columns are named `source` and `target`, or by the codes in `languages`. Text without a
        header has English in its first column.
    languages : (str, str)
        Codes of the source and the target language.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        When the file cannot be read as UTF-8 pairs; the message names the file and the line.
    """
    readers = {".jsonl": _json_pairs, ".parquet": _parquet_pairs}
    empty = True
    for pair in readers.get(_ending(file), _text_pairs)(file, languages):
        empty = False
        yield pair
    if empty:
        raise ValueError(f"{file} has no sentence pairs (zero lines): fetch or write it again")


def columns(names: Iterable[str], languages: tuple[str, str], where: object) -> tuple[str, str]:
    """Choose the source and the target column among the names that there are."""
    names = list(names)
    for wanted in (("source", "target"), languages):
        if all(name in names for name in wanted):
            return wanted
    raise ValueError(
        f"{where}: the columns found are {', '.join(map(repr, names))}; expected 'source' and "
        f"'target', or {languages[0]!r} and {languages[1]!r}: rename them or change `languages`"
    )


def pick(row: Any, languages: tuple[str, str], where: object) -> tuple[str, str]:
    """Take (source, target) from a row with named columns, or from its column `translation`."""
    if isinstance(row, Mapping) and isinstance(row.get("translation"), Mapping):
        row = row["translation"]
    if not isinstance(row, Mapping):
        raise ValueError(f"{where}: expected named columns, got {row!r:.60}")
    values = [row[name] for name in columns(row, languages, where)]
    if not all(value is None or isinstance(value, str) for value in values):
        raise ValueError(f"{where}: expected two sentences, got {values!r:.60}")
    return values[0] or "", values[1] or ""


def _ending(file: Path) -> str:
    return max((e for e in ENDINGS if file.name.lower().endswith(e)), key=len, default="")


def _by_part(path: Path, files: list[Path]) -> dict[str, list[Path]]:
    pieces: dict[str, list[Path]] = {}
    totals: dict[str, set[tuple[int, str]]] = {}
    for file in files:
        match = _PART_FILE.fullmatch(file.name[: -len(_ending(file))].lower())
        if match:
            part = PART_NAMES[match[1]]
            pieces.setdefault(part, []).append(file)
            totals.setdefault(part, set()).add((int(match[2] or 1), _ending(file)))
    if not pieces and len(files) > 1:
        names = ", ".join(file.name for file in files[:8])
        raise ValueError(f"{path} has several files ({names}): {_EXPECTED}")
    for part, found in pieces.items():
        if totals[part] != {(len(found), _ending(found[0]))}:
            names = ", ".join(file.name for file in found)
            raise ValueError(f"{path} must have one whole file for {part}, but it has {names}")
    return complete(pieces or {"all": files}, path)


def _text_pairs(file: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    first = second = None
    for number, line in enumerate(read_lines(file), 1):
        where, cells = f"{file}, line {number}", line.split("\t")
        if not line.strip():
            continue
        if first is None:
            names, is_header = _header(cells, languages, where)
            first, second = (names.index(name) for name in columns(names, languages, where))
            if is_header:
                continue
        if len(cells) <= max(first, second):
            raise ValueError(
                f"{where}: {len(cells)} of {max(first, second) + 1} columns in {line[:60]!r}; "
                "the sentences of a pair stand on one line with a tab between them"
            )
        yield cells[first], cells[second]


def _header(cells: list[str], languages: tuple[str, str], where: str) -> tuple[list[str], bool]:
    """Name the columns, and say whether the line itself did so."""
    names = [cell.strip() for cell in cells]
    known = {"source", "target", *languages} & {*names, *map(str.lower, names)}
    if known or all(_HEADER_WORD.fullmatch(name.lower()) for name in names):
        return names, True
    if "en" not in languages:
        raise ValueError(
            f"{where}: there is no header, and without one the first column is English, but "
            f"languages={languages}: write 'source<TAB>target' as the first line of the file"
        )
    return ["en", next(code for code in languages if code != "en")], False


def _json_pairs(file: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(read_lines(file), 1):
        where = f"{file}, line {number}"
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where} is not JSON ({error}): one object a line") from None
            yield pick(row, languages, where)


def _parquet_pairs(file: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with _readable(file):
        data = file.read_bytes()
    try:
        table = ParquetFile(pyarrow.BufferReader(data))
        names = table.schema_arrow.names
        wanted = ["translation"] if "translation" in names else columns(names, languages, file)
        rows = (row for b in table.iter_batches(columns=list(wanted)) for row in b.to_pylist())
        for number, row in enumerate(rows, 1):
            yield pick(row, languages, f"{file}, row {number}")
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{file} is cut short or is not Parquet ({error}): fetch it again"
        ) from None


def read_lines(file: Path) -> list[str]:
    """Read UTF-8 lines; only line ends split them (`str.splitlines` also splits at U+2028)."""
    with _readable(file):
        data = file.read_bytes()
    if _ending(file).endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(
                f"{file} is cut short or is not gzip ({error}): fetch it again"
            ) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{file} is UTF-16, not UTF-8: save it as UTF-8 in an editor")
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise ValueError(
            f"{file}, line {line}: a NUL byte, so this is no UTF-8 text: fetch it again"
        )
    try:
        return data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; Russian text may "
            "be cp1251 and French cp1252: open the file so in an editor and save it as UTF-8"
        ) from None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"there is no file or folder {path} (looked for from {Path.cwd()}): give the path of "
            "your sentence pairs, or source='embedded', which needs no files"
        ) from None
    except PermissionError:
        raise PermissionError(
            f"{path} must not be read: change its permissions or copy it"
        ) from None
