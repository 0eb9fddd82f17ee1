"""Solve the exercise notebooks: `make exercises`, or `python tools/exercises.py run [LESSON]`.

Takes each lesson's exercises three times, each time in a new kernel and in an empty folder: as they
stand, with the solutions of `course_utils.exercises`, and with each known wrong answer: those that
the checks know, and those of `tests/answers_*.py`. Prints a table; the exit status is 1 when a
check says anything else than it should.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import links
from jupyter_core.utils import ensure_event_loop

import notebooks
from exercises import CHECKED, ROOT, exercise_book, source_of, tags_of


class Known(NamedTuple):
    """A known wrong answer, and its hint or, where `whole` is false, a piece of that."""

    answer: Callable[..., Any]
    hint: str
    whole: bool

    def fits(self, name: str, line: str) -> bool:
        """Is this line what `check` should say?"""
        said = line.removeprefix(f"{name} not yet: ")
        return said != line and (said == self.hint if self.whole else self.hint in said)


class Row(NamedTuple):
    """What the checks said of one exercise; `wrong` has one line for each thing that is not so."""

    name: str
    title: str
    unsolved: str
    solved: str
    rejected: int
    known: int


@cache
def answers_of_the_tests() -> list[tuple[str, Callable[..., Any], str]]:
    """The wrong answers of `tests/answers_*.py`: exercise, answer, a piece of the hint."""
    found = []
    for path in sorted(ROOT.glob("tests/answers_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.WRONG
    return found


def known_wrong(name: str) -> list[Known]:
    """All known wrong answers to an exercise; the kernel asks for them by this name, too."""
    from course_utils.exercises.checking import find

    own = [Known(mistake.answer, mistake.hint, True) for mistake in find(name).mistakes]
    told = answers_of_the_tests()
    return own + [Known(answer, hint, False) for of, answer, hint in told if of == name]


def with_solution(name: str, source: str) -> str:
    """An exercise's cell with our solution in the place of the stub."""
    from course_utils.exercises.checking import LESSONS

    module = import_module(f"{LESSONS[name[:2]]}_solutions")
    mark = f"Exercise {name}:"
    solution = next(k for k, f in vars(module).items() if (f.__doc__ or "").startswith(mark))
    stub = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    lines = source.splitlines()
    line = f"from {module.__name__} import {solution} as {stub.name}"
    lines[stub.lineno - 1 : stub.end_lineno] = [line]
    return "\n".join(lines)


def with_wrong_answers(name: str, source: str) -> str:
    """A cell that gives all known wrong answers to an exercise."""
    lines = ["import solving", f'for known in solving.known_wrong("{name}"):']
    return "\n".join([*lines, f'    check("{name}", known.answer)'])


def as_it_stands(name: str, source: str) -> str:
    """An exercise's cell with its stub."""
    return source


@contextmanager
def own_environment() -> Iterator[None]:
    """Kernels that start in this block import the package that lies here, and are not strict."""
    before = dict(os.environ)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", ""), str(ROOT / "tools")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    for name in ("COURSE_STRICT", "COURSE_PROGRESS"):
        os.environ.pop(name, None)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # several run at once: who waits gives way
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Said(NamedTuple):
    """What one run of an exercise notebook brought."""

    lines: dict[str, list[str]]  # of each exercise
    progress: str  # what the last cell shows
    kept: bool  # is there a progress.json?
    error: str


def told(book: dict[str, Any], change: Callable[[str, str], str]) -> Said:
    """Run an exercise notebook with its cells changed; what each check said."""
    book = json.loads(json.dumps(book))
    names = {}
    for found in book["cells"]:
        if "exercise" in tags_of(found):
            names[found["id"]] = name = CHECKED.search(source_of(found))[1]
            found["source"] = change(name, source_of(found))
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "exercises", "run.ipynb")
        kept_in = Path(folder, "notebooks", "progress.json")
        for file in (path, kept_in):
            file.parent.mkdir()
        path.write_text(json.dumps(book), encoding="utf-8")
        error = ""
        try:
            done, _ = notebooks.execute(path, {})
        except notebooks.LessonError as failure:
            done, error = failure.book, str(failure)
        kept = kept_in.exists()
    shown = {found["id"]: printed(found) for found in done["cells"]}
    lines = {name: shown[place].splitlines() for place, name in names.items()}
    return Said(lines, shown["progress"], kept, error)


def printed(found: dict[str, Any]) -> str:
    """What a cell printed and showed, as text."""
    outputs = found.get("outputs", [])
    return "".join(out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs)


WAYS = {"as they stand": as_it_stands, "solved": with_solution, "wrong": with_wrong_answers}


def judge(runs: dict[str, Said], number: str, wrong: list[str]) -> Iterator[Row]:
    """The rows of a lesson from its run in each way; what is not as it should be joins `wrong`."""
    from course_utils.exercises.checking import exercises

    wrong += [f"{number}, {way}: {said.error}" for way, said in runs.items() if said.error]
    plain, solved, mistaken = runs.values()
    listed, total = exercises(number), len(exercises(number))
    if plain.kept:
        wrong.append(f"{number}: stubs that nobody touched were written down as tried")
    for said, passed in ((solved, total), (mistaken, 0)):
        if not said.error and f"{passed} of {total} passed" not in said.progress:
            wrong.append(f"{number}: its end does not say '{passed} of {total} passed'")
    for exercise in listed:
        name, known = exercise.name, known_wrong(exercise.name)
        states = [one_line(said.lines.get(name, []), name) for said in (plain, solved)]
        for state, right in zip(states, ("not attempted", "passed"), strict=True):
            if state != right:
                wrong.append(f"{name}: the check says '{state}', expected '{right}'")
        lines = mistaken.lines.get(name, [])
        if len(lines) != len(known):
            wrong.append(f"{name}: {len(lines)} lines, expected {len(known)}, one per wrong answer")
        bad = [(k, line) for k, line in zip(known, lines, strict=False) if not k.fits(name, line)]
        wrong += [f"{name}: the check says '{line}', expected '{k.hint}'" for k, line in bad]
        rejected = min(len(lines), len(known)) - len(bad)
        yield Row(name, exercise.title, *states, rejected, len(known))


def one_line(lines: list[str], name: str) -> str:
    """What the check of an exercise said, without the exercise's name."""
    return " / ".join(lines).removeprefix(f"{name} ") or "nothing"


def run(lesson: str) -> int:
    """Solve the exercises of the lessons whose files begin so; the exit status."""
    sys.path.insert(0, str(ROOT))  # the package that lies here, installed or not
    paths = notebooks.lessons(ROOT / "notebooks", lesson)
    books = {path: exercise_book(path, links.home(ROOT)) for path in paths}
    rows, wrong, begin = [], [], time.perf_counter()
    with own_environment(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        runs = {path: start(pool, book) for path, book in books.items()}
        try:
            for path, ways in runs.items():
                said = {way: future.result() for way, future in ways.items()}
                rows += judge(said, path.name[:2], wrong)
                print(f"{path.stem} is done, {time.perf_counter() - begin:.0f} s", flush=True)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    print(f"\n{as_table(rows)}\n")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    rejected, known = (sum(getattr(row, part) for row in rows) for part in ("rejected", "known"))
    print(f"{len(rows)} exercises, {rejected} of {known} known wrong answers got their own hint")
    return 1 if wrong or not rows else 0


def start(pool: ThreadPoolExecutor, book: dict[str, Any]) -> dict[str, Future]:
    """Begin to run an exercise notebook in all ways."""
    return {way: pool.submit(told_in_thread, book, change) for way, change in WAYS.items()}


def told_in_thread(book: dict[str, Any], change: Callable[[str, str], str]) -> Said:
    """`told`, and what it opened in this thread is closed again."""
    try:
        return told(book, change)
    finally:
        loop = ensure_event_loop()
        if waiting := asyncio.all_tasks(loop):
            loop.run_until_complete(asyncio.wait(waiting))
        loop.close()


def as_table(rows: list[Row]) -> Any:
    """The rows to print."""
    from course_utils.show import table

    cells = [
        {
            "exercise": row.name,
            "title": row.title,
            "unsolved": row.unsolved,
            "solved": row.solved,
            "wrong answers rejected": f"{row.rejected} of {row.known}",
        }
        for row in rows
    ]
    return table(cells)
