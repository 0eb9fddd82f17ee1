"""Interactive views for Jupyter and Colab, each a thin shell around a function that draws."""

from course_utils.explorers.attention import (
    attention_explorer,
    attention_map,
    heads_explorer,
    heads_map,
)
from course_utils.explorers.gaps import gap_bars, gap_explorer, gap_picture
from course_utils.explorers.merges import merge_stepper, merge_table, tokenizer_explorer
from course_utils.explorers.pages import AttentionExample, attention_page
from course_utils.explorers.pictures import rollout_explorer, rollout_picture
from course_utils.explorers.pieces import segments_picture
from course_utils.explorers.sampling import next_token_bars, sampling_explorer

__all__ = [
    "AttentionExample",
    "attention_explorer",
    "attention_map",
    "attention_page",
    "gap_bars",
    "gap_explorer",
    "gap_picture",
    "heads_explorer",
    "heads_map",
    "merge_stepper",
    "merge_table",
    "next_token_bars",
    "rollout_explorer",
    "rollout_picture",
    "sampling_explorer",
    "segments_picture",
    "tokenizer_explorer",
]
