"""The checked exercises of lesson 4, in order."""

from course_utils.exercises.bits import BITS_PER_BYTE
from course_utils.exercises.cached_attention import CACHED_STEP
from course_utils.exercises.next_token import NEXT_TOKEN_LOSS
from course_utils.exercises.nucleus import TOP_P
from course_utils.exercises.writing import GENERATE

EXERCISES = (BITS_PER_BYTE, NEXT_TOKEN_LOSS, TOP_P, GENERATE, CACHED_STEP)
