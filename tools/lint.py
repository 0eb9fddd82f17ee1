"""What `make lint` says after ruff: about the lessons, the texts, the links of the course.

    python tools/lint.py

One line for each complaint: the file, the number of the cell (counted from 1) with its first words,
what is wrong and what to do. Exit status 1 if there is one. Nothing is asked of a network. The
rules are in lint_rules.py, lint_structure.py and lint_text.py; links.py and exercises.py say
whether what they make is up to date.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import links
import lint_rules
import lint_structure
import lint_text
import nbformat
from nbformat import ValidationError

import exercises

ROOT = Path(__file__).resolve().parents[1]
LARGEST_FILE = 1_500_000
RULES = [*lint_rules.RULES, *lint_structure.RULES]


def line(root: Path, path: Path, number: int | None, what: str) -> str:
    """One complaint for the reader; a cell is shown by its number and its first words."""
    place = path.relative_to(root).as_posix()
    if number is None:
        return f"{place}: {what}"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = lint_rules.source(cells[number - 1]).strip() if number <= len(cells) else ""
    return f"{place}: cell {number} ({text.partition(chr(10))[0][:40]}): {what}"


def file_complaints(path: Path) -> Iterator[str]:
    """What is wrong with a notebook as a file."""
    data = path.read_bytes()
    if len(data) > LARGEST_FILE:
        yield f"{len(data)} bytes, at most {LARGEST_FILE}: draw fewer or smaller pictures"
    if b"\r" in data:
        yield "lines end with \\r\\n: make notebooks writes \\n"
    try:
        with warnings.catch_warnings():
            # nbformat only warns of cells without a name of their own, or with another's.
            warnings.simplefilter("error", FutureWarning)
            nbformat.validate(book := nbformat.from_dict(json.loads(data)))
        if not book.cells:
            yield "no valid notebook: it has no cells"
    except (ValueError, KeyError, AttributeError, FutureWarning, ValidationError) as error:
        yield f"no valid notebook: {str(error).splitlines()[0]}"


def lesson_complaints(root: Path) -> Iterator[str]:
    """What is wrong with the lessons, one by one and together."""
    books = {}
    for path in sorted(root.glob("notebooks/*.ipynb")):
        wrong = list(file_complaints(path))
        yield from (line(root, path, None, what) for what in wrong)
        if not any(what.startswith("no valid") for what in wrong):
            books[path] = json.loads(path.read_text(encoding="utf-8"))
    for path, book in books.items():
        for rule in RULES:
            yield from (line(root, path, number, what) for number, what in rule(book))
    beginnings = {path: lint_structure.setup_beginning(book) for path, book in books.items()}
    first = next(iter(beginnings.values()), [])
    for path, lines in beginnings.items():
        if not lines or lines != first:
            yield line(root, path, 4, f"the set-up does not begin as in the first lesson: {first}")
    names = [path.name for path in sorted(root.glob("notebooks/*.ipynb"))]
    numbers = [match[1] for name in names if (match := re.match(r"(\d\d)_[a-z0-9_]+\.", name))]
    if numbers != [f"{k:02}" for k in range(1, len(names) + 1)]:
        yield f"notebooks: the lessons are not numbered 01, 02, ...: {', '.join(names)}"


def complaints(root: Path) -> Iterator[str]:
    """All that is wrong with the course in a folder, one line each."""
    yield from lesson_complaints(root)
    for check in lint_text.CHECKS:
        yield from (line(root, *found) for found in check(root))
    yield from links.complaints(root)
    yield from exercises.complaints(root)


def main() -> int:
    """Print all complaints; the exit status."""
    wrong = list(complaints(ROOT))
    print("\n".join(wrong) or "lessons, texts and links are in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
