"""Exercises that check themselves."""

from course_utils.exercises.checking import Result, check

__all__ = ["Result", "check"]
