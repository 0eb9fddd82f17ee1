"""The exercise notebooks: made from the lessons, and solved in right and in known wrong ways.

    python tools/exercises.py write          # exercises/NN_name.ipynb from notebooks/NN_name.ipynb
    python tools/exercises.py check          # which of them is not what its lesson says
    python tools/exercises.py run [LESSON]   # solve them; LESSON begins a file's name, such as 01

`write` replaces no notebook in which somebody has worked. How `run` solves them is in solving.py.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import links

import notebooks

ROOT = Path(__file__).resolve().parents[1]
HEADING, NOTES = "## Exercises\n", "**Your notes:**\n\n"
EXERCISE = re.compile(r"### (\d\d\.\d) ")
CHECKED = re.compile(r'^check\("(\d\d\.\d)", \w+\)$', re.M)
IMPORTS = "from course_utils.exercises import check, progress"
ABOUT = """# Exercises of {title}

{badge}

From [the lesson](../notebooks/{file}), whose other cells need not run first. The set-up cell \
installs the course where it is missing (on Colab, for example).

`check` keeps what has passed in the file `progress.json` beside the notebooks. It stays on this \
machine; nothing sends it. On Colab it goes when the machine goes: save a copy of the notebook."""


def cell(kind: str, name: str, source: str, *tags: str) -> dict[str, Any]:
    """A cell as nbformat stores it."""
    made = {"cell_type": kind, "id": name, "metadata": {}, "source": source.splitlines(True)}
    if tags:
        made["metadata"]["tags"] = [*tags]
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def source_of(found: dict[str, Any]) -> str:
    """A cell's text."""
    return "".join(found["source"])


def tags_of(found: dict[str, Any]) -> list[str]:
    """A cell's tags."""
    return found["metadata"].get("tags", [])


def section(cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The cells from the heading of the exercises to the next section, without the lecturer's."""
    inside = False
    for found in cells:
        if found["cell_type"] == "markdown" and source_of(found).startswith("## "):
            inside = source_of(found).startswith(HEADING)
        if inside and found["metadata"].get("slideshow", {}).get("slide_type") != "notes":
            yield found


def exercise_cells(cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The section's cells, headings one level up, with room for notes after each exercise."""
    name = ""
    for found in section(cells):
        source = source_of(found)
        if "exercise" in tags_of(found) and not CHECKED.search(source):
            raise notebooks.LessonError(f"a stub has no line check(...): {source[:40]!r}")
        if found["cell_type"] == "code" and source == "from course_utils.exercises import check":
            continue  # the exercise notebook has this line at its top
        if begins := EXERCISE.match(source):
            if name:
                yield cell("markdown", f"notes-{name}", NOTES)
            name = begins[1].replace(".", "-")
            source = source.removeprefix("#")
        source = source.removeprefix(HEADING).lstrip("\n")
        yield cell(found["cell_type"], found["id"], source, *tags_of(found))
    if not name:
        raise notebooks.LessonError(f"no section '{HEADING.strip()}' with '### 04.1 ...' in it")
    yield cell("markdown", f"notes-{name}", NOTES)


def exercise_book(lesson: Path, here: links.Home) -> dict[str, Any]:
    """The exercise notebook of a lesson.

    Raises
    ------
    LessonError
        When the lesson has not the form that this needs.
    """
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    setup = next((found for found in cells if "setup" in tags_of(found)), None)
    if setup is None:
        raise notebooks.LessonError("no cell is tagged 'setup'")
    title = source_of(cells[0]).splitlines()[0].removeprefix("# ")
    badge = here.badge(lesson.name, "../").replace("/notebooks/", "/exercises/")
    about = ABOUT.format(title=title.replace("L", "l", 1), badge=badge, file=lesson.name)
    made = [
        cell("markdown", "title", about),
        cell("code", "setup", source_of(setup), "setup"),
        cell("code", "check", IMPORTS),
        *exercise_cells(cells),
        cell("markdown", "progress-title", "## Your progress in this lesson"),
        cell("code", "progress", f'progress("{lesson.name[:2]}")'),
    ]
    language = {"name": "python", "file_extension": ".py"}
    metadata = {"kernelspec": notebooks.KERNEL, "language_info": language}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_text(book: dict[str, Any]) -> str:
    """The file of a notebook, the same bytes each time."""
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def wanted(root: Path) -> Iterator[tuple[Path, str]]:
    """Each exercise notebook and what it should be."""
    here = links.home(root)
    for lesson in sorted(root.glob("notebooks/*.ipynb")):
        try:
            yield root / "exercises" / lesson.name, as_text(exercise_book(lesson, here))
        except notebooks.LessonError as error:
            raise notebooks.LessonError(f"notebooks/{lesson.name}: {error}") from None


def worked_in(path: Path) -> bool:
    """Has somebody run or filled in this exercise notebook?"""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return False
    return any(
        found.get("outputs")
        or found.get("execution_count")
        or ("exercise" in tags_of(found) and "NotImplementedError" not in source_of(found))
        or (found.get("id", "").startswith("notes-") and source_of(found).strip() != NOTES.strip())
        for found in cells
    )


def complaints(root: Path) -> Iterator[str]:
    """Which exercise notebook is not what its lesson says, one line each."""
    try:
        right = dict(wanted(root))
    except notebooks.LessonError as error:
        yield str(error)
        return
    for path, text in right.items():
        place = path.relative_to(root).as_posix()
        if not path.exists():
            yield f"{place}: missing: make format"
        elif path.read_bytes() != text.encode():
            if worked_in(path):
                yield f"{place}: somebody has worked in it: rename it, then make format"
            else:
                yield f"{place}: not what the lesson says: make format"
    for path in sorted(root.glob("exercises/*.ipynb")):
        if path not in right and not worked_in(path):
            yield f"{path.relative_to(root).as_posix()}: no lesson has this name: remove it"


def write(root: Path) -> int:
    """Bring the exercise notebooks up to the lessons; 0, the exit status."""
    for path, text in wanted(root):
        place = path.relative_to(root).as_posix()
        if path.exists() and path.read_bytes() == text.encode():
            continue
        if worked_in(path):
            print(f"kept {place}, as somebody has worked in it: rename it, then write once more")
            continue
        notebooks.write(path, text)
        print(f"wrote {place}")
    return 0


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    if words == ["check"]:
        found = list(complaints(ROOT))
        print("\n".join(found) or "the exercise notebooks are what the lessons say")
        return 1 if found else 0
    if words != ["write"] and (words[:1] != ["run"] or len(words) > 2):
        print(__doc__)
        return 2
    try:
        if words == ["write"]:
            return write(ROOT)
        import solving

        return solving.run("".join(words[1:]))
    except notebooks.LessonError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
