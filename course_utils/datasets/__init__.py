"""Pairs, texts and pictures from three sources: the course itself, the hub, or a folder."""

from course_utils.datasets.glyphs import draw_glyphs
from course_utils.datasets.labelled import LabelledData, LabelledExample, load_labelled
from course_utils.datasets.labelled_pictures import PictureData, Pictures, load_pictures
from course_utils.datasets.languages import load_languages
from course_utils.datasets.pairs import TranslationData, TranslationPair
from course_utils.datasets.texts import TextData, load_texts
from course_utils.datasets.translation import load_translation

__all__ = [
    "LabelledData",
    "LabelledExample",
    "PictureData",
    "Pictures",
    "TextData",
    "TranslationData",
    "TranslationPair",
    "draw_glyphs",
    "load_labelled",
    "load_languages",
    "load_pictures",
    "load_texts",
    "load_translation",
]
