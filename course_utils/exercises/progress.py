"""What a learner has done: `check` writes it down, `progress()` shows it, after a restart too.

In a Jupyter kernel each answer that is checked leaves a trace in the file `progress.json` beside
the notebooks: whether it passed, and how often it was tried. The file stays on this machine;
nothing sends it. Outside of Jupyter nothing is written, unless the environment variable
COURSE_PROGRESS names a file.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from course_utils.files import atomic_write
from course_utils.show import Table, table

FILE = "progress.json"
NAMES_FILE = "COURSE_PROGRESS"
LOCK_SECONDS = 5

# The name of an exercise -> {"passed": was it ever right?, "tries": how often until then}.
Done = dict[str, dict[str, Any]]


def progress(lesson: str | int | None = None) -> Table:
    """Which exercises have passed, been tried, or not been attempted yet.

    Parameters
    ----------
    lesson : str or int, optional
        "04" or 4; without it all lessons.

    Returns
    -------
    Table
        One row per exercise; shows itself at the end of a notebook's cell.

    Raises
    ------
    ValueError
        When there is no such lesson.

    Examples
    --------
    >>> print(str(progress(4)).splitlines()[1].split())
    ['exercise', 'title', 'state']
    """
    from course_utils.exercises.checking import LESSONS, exercises  # which imports this module

    number = str(lesson).zfill(2)
    if lesson is not None and number not in LESSONS:
        known = ", ".join(LESSONS)
        raise ValueError(
            f"there is no lesson {lesson!r}, only {known}: try progress({known[:2]!r})"
        )
    done, rows, right = _load(), [], 0
    for key in LESSONS if lesson is None else [number]:
        states = [_state(done.get(exercise.name)) for exercise in exercises(key)]
        passed = states.count("passed")
        right += passed
        told = f"{key}: {passed} of {len(states)} passed"
        for exercise, state in zip(exercises(key), states, strict=True):
            row = {"exercise": exercise.name, "title": exercise.title, "state": state}
            rows.append(row if lesson is not None else {"lesson": told, **row})
            told = ""
    about = "All lessons" if lesson is None else f"Lesson {number}"
    return table(rows, caption=f"{about}: {right} of {len(rows)} passed")


def record(name: str, passed: bool) -> None:
    """Write down that an exercise was tried; what has passed stays passed.

    Says in one line what hinders it, once for each kernel, and never raises.

    Parameters
    ----------
    name : str
        Of the exercise, "01.1".
    passed : bool
        Was the answer right?
    """
    if not (os.environ.get(NAMES_FILE) or _in_kernel()):
        return
    try:
        path = place()
        with _alone(path):
            done = _read(path)
            before = done.get(name, {"passed": False, "tries": 0})
            if before["passed"]:
                return
            done[name] = {**before, "passed": passed, "tries": before["tries"] + 1}
            with atomic_write(path) as temporary:
                text = json.dumps(done, indent=1, sort_keys=True) + "\n"
                temporary.write_text(text, encoding="utf-8", newline="\n")
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        _say_once(
            f"Your progress is not kept in {FILE}: {_reason(error)}. The environment variable "
            f"{NAMES_FILE} may name a file in another folder."
        )


def place() -> Path:
    """The file: beside the lessons, where there are some, else in the working folder.

    The lessons and their exercise notebooks have two folders side by side, and share one file.
    """
    if named := os.environ.get(NAMES_FILE):
        return Path(named).expanduser()
    shared = Path.cwd().parent / "notebooks"
    return (shared if shared.is_dir() else Path.cwd()) / FILE


def _load() -> Done:
    """What is written down; nothing, and one line said, when it cannot be read."""
    try:
        path = place()
        if (done := _parsed(path)) is not None:
            return done
        with _alone(path):
            return _read(path)
    except (OSError, NotImplementedError) as error:
        print(f"Your progress cannot be read from {FILE}: {_reason(error)}.")
        return {}


def _read(path: Path) -> Done:
    """What is written down; a file that makes no sense is put aside. Call it with the lock held."""
    done = _parsed(path)
    if done is None:
        aside = path.with_name(path.name + ".broken")
        os.replace(path, aside)
        print(f"{path.name} was damaged: it is kept as {aside.name}, and a new one is begun.")
    return done or {}


def _parsed(path: Path) -> Done | None:
    """The file's entries; {} without a file, None when it makes no sense."""
    try:
        done = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):  # cut off, no UTF-8, no JSON
        return None
    sound = isinstance(done, dict) and all(map(_is_entry, done.values()))
    return done if sound else None


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("passed"), bool)
        and isinstance(entry.get("tries"), int)
    )


def _state(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "not attempted"
    if entry["passed"]:
        return "passed"
    return "tried once" if entry["tries"] == 1 else f"tried {entry['tries']} times"


def _alone(path: Path) -> AbstractContextManager:
    """Two notebooks at once: one of them waits until the other has read and written."""
    from filelock import FileLock

    return FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)


def _in_kernel() -> bool:
    """Is this a notebook's kernel, and not a test or a terminal?"""
    library = sys.modules.get("IPython")
    shell = library.get_ipython() if library else None
    return getattr(shell, "kernel", None) is not None


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")


@cache
def _say_once(line: str) -> None:
    print(line)
