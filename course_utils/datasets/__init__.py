"""Data from three sources, written by us, from the hub, or from a folder: pairs and texts."""

from course_utils.datasets.labelled import LabelledData, LabelledExample, load_labelled
from course_utils.datasets.languages import load_languages
from course_utils.datasets.pairs import TranslationData, TranslationPair
from course_utils.datasets.texts import TextData, load_texts
from course_utils.datasets.translation import load_translation

__all__ = [
    "LabelledData",
    "LabelledExample",
    "TextData",
    "TranslationData",
    "TranslationPair",
    "load_labelled",
    "load_languages",
    "load_texts",
    "load_translation",
]
