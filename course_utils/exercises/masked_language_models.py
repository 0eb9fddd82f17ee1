"""The checked exercises of lesson 5, in order."""

from course_utils.exercises.hiding import HIDE
from course_utils.exercises.masked_words import MASKED_LOSS
from course_utils.exercises.plateau import PLATEAU
from course_utils.exercises.pseudo_likelihood import PSEUDO_LOG_LIKELIHOOD
from course_utils.exercises.text_pair import PAIR

EXERCISES = (PAIR, HIDE, MASKED_LOSS, PLATEAU, PSEUDO_LOG_LIKELIHOOD)
