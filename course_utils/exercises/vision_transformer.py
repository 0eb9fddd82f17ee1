"""The checked exercises of lesson 6, in order."""

from course_utils.exercises.attention_cost import COST
from course_utils.exercises.attention_flow import ROLLOUT
from course_utils.exercises.patch_cutting import PATCHES
from course_utils.exercises.patch_vectors import EMBED
from course_utils.exercises.stretched_positions import STRETCH

EXERCISES = (PATCHES, EMBED, COST, STRETCH, ROLLOUT)
