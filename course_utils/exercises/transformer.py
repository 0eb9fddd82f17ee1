"""The checked exercises of lesson 2, in order."""

from course_utils.exercises.decoder_layer import DECODER_LAYER
from course_utils.exercises.dot_product import ATTENTION
from course_utils.exercises.encoder_block import ENCODER_BLOCK
from course_utils.exercises.heads import MULTI_HEAD
from course_utils.exercises.positions import POSITIONS

EXERCISES = (ATTENTION, POSITIONS, MULTI_HEAD, ENCODER_BLOCK, DECODER_LAYER)
