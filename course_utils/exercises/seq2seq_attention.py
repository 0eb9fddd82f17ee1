"""The checked exercises of lesson 1, in order."""

from course_utils.exercises.attending import ATTEND
from course_utils.exercises.beam import BEAM_SEARCH
from course_utils.exercises.decoder import DECODER_STEP
from course_utils.exercises.scores import ADDITIVE, BILINEAR

EXERCISES = (BILINEAR, ADDITIVE, ATTEND, DECODER_STEP, BEAM_SEARCH)
