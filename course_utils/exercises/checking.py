"""`check(name, answer)`: is this exercise solved, and if not, what is wrong with the answer?

Prints one line, `01.1 not attempted`, `01.1 not yet: ...` or `01.1 passed`, and never raises for
what the answer does, nor for a name that does not exist (`01.6 unknown: ...`), so that no exercise
stops a lecture. In strict mode (the environment variable COURSE_STRICT=1, for CI) anything but
*passed* raises. In a notebook it is written down what passed and what was tried: see `progress`.

The exercises of a lesson are in a module of their own, which is imported when one of them is
checked. How an answer is judged is in `comparing`.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from course_utils.exercises.progress import record

NOT_ATTEMPTED, NOT_YET, PASSED, UNKNOWN = "not attempted", "not yet", "passed", "unknown"

# The first part of an exercise's name -> the module that holds the lesson's exercises.
LESSONS = {
    "01": "course_utils.exercises.seq2seq_attention",
    "02": "course_utils.exercises.transformer",
    "03": "course_utils.exercises.byte_pair_encoding",
    "04": "course_utils.exercises.language_models",
    "05": "course_utils.exercises.masked_language_models",
    "06": "course_utils.exercises.vision_transformer",
}


class Hint(Exception):
    """Ends a check: its message is the hint. Raised by what a judge hands to an answer, too."""


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer, kept to recognise it when somebody gives it.

    Parameters
    ----------
    hint : str
        Names the mistake and asks for the remedy.
    answer : callable
        Makes the mistake.
    """

    hint: str
    answer: Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What `check` needs to know.

    Parameters
    ----------
    name : str
        Lesson and number, "01.1".
    title : str
        A few words.
    judge : callable
        `judge(answer, mistakes)` gives None for a right answer and a hint for a wrong one; it lets
        the stub's NotImplementedError through.
    mistakes : tuple of Mistake
        The more special of two that look alike comes first.
    """

    name: str
    title: str
    judge: Callable[[Callable[..., Any], tuple[Mistake, ...]], str | None]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class Result:
    """What `check` found; shows nothing at the end of a notebook's cell.

    Parameters
    ----------
    name : str
        Of the exercise.
    status : str
        "not attempted", "not yet" or "passed"; "unknown" when there is no exercise of this name.
    hint : str
        What is wrong, empty unless the status is "not yet" or "unknown".
    """

    name: str
    status: str
    hint: str = ""

    @property
    def passed(self) -> bool:
        """Is the exercise solved?"""
        return self.status == PASSED

    def __str__(self) -> str:
        return f"{self.name} {self.status}" + (f": {self.hint}" if self.hint else "")

    def _ipython_display_(self) -> None:
        """Nothing: `check` has printed the line already."""


def check(name: Any, answer: Any, *, strict: bool | None = None) -> Result:
    """Judge an answer to an exercise and print what was found, in one line.

    Parameters
    ----------
    name : str
        Of the exercise, "01.1".
    answer : callable
        Your function, not its result.
    strict : bool, optional
        Raise unless the answer passes. By default only when the environment variable
        COURSE_STRICT is set to something else than 0.

    Returns
    -------
    Result

    Raises
    ------
    AssertionError
        In strict mode, when the answer does not pass or there is no exercise of this name.

    Examples
    --------
    >>> result = check("01.1", lambda query, key, weight: query @ weight @ key.transpose(1, 2))
    01.1 passed
    """
    try:
        exercise = find(name)
    except ValueError as error:
        result = Result(_one_line(name), UNKNOWN, str(error))
    else:
        result = _judge(exercise, answer)
    print(result)
    if result.status in (NOT_YET, PASSED):
        record(result.name, result.passed)
    if strict is None:
        strict = os.environ.get("COURSE_STRICT", "0") not in ("", "0")
    if strict and not result.passed:
        raise AssertionError(str(result))
    return result


def _one_line(name: Any) -> str:
    """A wrong name, in quotes where it would not be seen; of other things a few words."""
    if isinstance(name, str) and name.strip() and name.isprintable():
        return name
    return " ".join(reprlib.repr(name).split())  # short, and never raises


def find(name: Any) -> Exercise:
    """The exercise of this name.

    Raises
    ------
    ValueError
        When there is none.
    """
    lesson = name.partition(".")[0] if isinstance(name, str) else ""
    if lesson in LESSONS:
        for exercise in exercises(lesson):
            if exercise.name == name:
                return exercise
    names = ", ".join(exercise.name for lesson in LESSONS for exercise in exercises(lesson))
    raise ValueError(
        f'there is no such check, only {names}. Call it as check("01.1", your_function)'
    )


def exercises(lesson: str) -> tuple[Exercise, ...]:
    """All exercises of a lesson that have a check; `lesson` is a key of `LESSONS`."""
    return import_module(LESSONS[lesson]).EXERCISES


def _judge(exercise: Exercise, answer: Any) -> Result:
    if not callable(answer):
        hint = (
            f'check("{exercise.name}", ...) wants your function itself, got '
            f"{type(answer).__name__}: did you call it, or forget to define it?"
        )
        return Result(exercise.name, NOT_YET, hint)
    try:
        hint = exercise.judge(answer, exercise.mistakes)
    except NotImplementedError:
        return Result(exercise.name, NOT_ATTEMPTED)
    except Hint as error:
        hint = str(error)
    except Exception as error:  # whatever odd thing came back, a lecture goes on
        hint = f"the check cannot read what your function returns ({type(error).__name__}: {error})"
    if hint is None:
        return Result(exercise.name, PASSED)
    return Result(exercise.name, NOT_YET, " ".join(hint.split()))
