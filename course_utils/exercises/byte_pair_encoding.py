"""The checked exercises of lesson 3, in order."""

from course_utils.exercises.encoding_words import ENCODE
from course_utils.exercises.learning_merges import LEARN_MERGES
from course_utils.exercises.merging_pairs import MERGE_PAIR
from course_utils.exercises.pair_counts import PAIR_COUNTS
from course_utils.exercises.streaming_text import STREAM

EXERCISES = (PAIR_COUNTS, MERGE_PAIR, LEARN_MERGES, ENCODE, STREAM)
