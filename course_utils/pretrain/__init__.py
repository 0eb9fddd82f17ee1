"""Train a model for longer than a lesson waits, and write it as the folder that is shipped."""

from course_utils.pretrain.bert import BERTRecipe, measure_masked, pretrain_bert
from course_utils.pretrain.gpt import END_TOKEN, GPTRecipe, measure_text, pretrain_gpt
from course_utils.pretrain.vit import ViTRecipe, measure_pictures, pretrain_vit

__all__ = [
    "END_TOKEN",
    "BERTRecipe",
    "GPTRecipe",
    "ViTRecipe",
    "measure_masked",
    "measure_pictures",
    "measure_text",
    "pretrain_bert",
    "pretrain_gpt",
    "pretrain_vit",
]
