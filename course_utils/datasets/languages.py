"""One small story in four languages, to see what a tokenizer makes of each.

Written for this course: `data/languages/README.md` says more.
"""

from __future__ import annotations

from course_utils.files import data_path

LANGUAGES = ("en", "ru", "sv", "ja")


def load_languages() -> dict[str, list[str]]:
    """The same sentences in English, Russian, Swedish and Japanese.

    Returns
    -------
    dict of str to list of str
        Sentences by language code ("en", "ru", "sv", "ja"): sentence `i` of each list says the
        same. Japanese has no spaces between words.

    Examples
    --------
    >>> sentences = load_languages()
    >>> [len(sentences[code]) == len(sentences["en"]) for code in ("ru", "sv", "ja")]
    [True, True, True]
    """
    return {
        code: data_path("languages", f"{code}.txt").read_text(encoding="utf-8").splitlines()
        for code in LANGUAGES
    }
