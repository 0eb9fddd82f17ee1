"""Sentence pairs from three sources: written by us, from the hub, or from a folder."""

from course_utils.datasets.pairs import TranslationData, TranslationPair
from course_utils.datasets.translation import load_translation

__all__ = ["TranslationData", "TranslationPair", "load_translation"]
