"""Checkpoints of the `transformers` library in the course's models, and the way back."""

from course_utils.pretrained.bert import load_bert, to_bert
from course_utils.pretrained.bert_tokenizer import load_bert_tokenizer
from course_utils.pretrained.gpt2 import load_gpt2, load_gpt2_tokenizer, to_gpt2

__all__ = [
    "load_bert",
    "load_bert_tokenizer",
    "load_gpt2",
    "load_gpt2_tokenizer",
    "to_bert",
    "to_gpt2",
]
