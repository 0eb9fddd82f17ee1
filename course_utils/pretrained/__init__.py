"""Checkpoints of the `transformers` library in the course's models, and the way back."""

from course_utils.pretrained.bert import load_bert, to_bert
from course_utils.pretrained.bert_tokenizer import load_bert_tokenizer
from course_utils.pretrained.gpt2 import load_gpt2, load_gpt2_tokenizer, to_gpt2
from course_utils.pretrained.vit import load_vit, to_vit

__all__ = [
    "load_bert",
    "load_bert_tokenizer",
    "load_gpt2",
    "load_gpt2_tokenizer",
    "load_vit",
    "to_bert",
    "to_gpt2",
    "to_vit",
]
