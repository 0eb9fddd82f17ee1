"""Exercises that check themselves."""

from course_utils.exercises.checking import Result, check
from course_utils.exercises.progress import progress

__all__ = ["Result", "check", "progress"]
