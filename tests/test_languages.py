"""The small parallel text: complete, parallel, and the one whose sums the README has."""

from __future__ import annotations

import hashlib
import re

import pytest

from course_utils.datasets import load_languages
from course_utils.files import data_path

LETTERS = {
    "en": "[a-zA-Z]",
    "sv": "[a-zåäöA-ZÅÄÖ]",
    "ru": "[а-яёА-ЯЁ]",
    "ja": "[\u3040-\u30ff\u4e00-\u9fff]",
}


@pytest.fixture(scope="module")
def languages() -> dict[str, list[str]]:
    return load_languages()


def test_languages_are_parallel(languages):
    assert list(languages) == ["en", "ru", "sv", "ja"]
    assert {code: len(sentences) for code, sentences in languages.items()} == dict.fromkeys(
        languages, 40
    )
    for sentences in zip(*languages.values(), strict=True):
        asks = {sentence.count("?") + sentence.count("？") for sentence in sentences}
        years = {tuple(re.findall(r"1968|1974", sentence)) for sentence in sentences}
        assert len(asks) == 1 and len(years) == 1, sentences


@pytest.mark.parametrize("code", LETTERS)
def test_languages_are_written_in_their_own_letters(languages, code):
    text = "".join(languages[code])
    letters = [letter for letter in text if letter.isalpha()]
    own = [letter for letter in letters if re.fullmatch(LETTERS[code], letter)]
    assert len(own) >= 0.98 * len(letters)
    assert all(line == line.strip() and line for line in languages[code])
    assert (" " in text) == (code != "ja")


def test_languages_are_copies_that_may_be_changed(languages):
    load_languages()["en"].clear()
    assert len(load_languages()["en"]) == 40


def test_language_files_have_the_sums_and_sizes_of_the_readme(languages):
    readme = data_path("languages", "README.md").read_text(encoding="utf-8")
    sums = {name: total for total, name in re.findall(r"([0-9a-f]{64})  (\w+\.txt)", readme)}
    assert sorted(sums) == sorted(f"{code}.txt" for code in languages)
    assert sorted(sums) == sorted(file.name for file in data_path("languages").glob("*.txt"))
    for name, total in sums.items():
        content = data_path("languages", name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == total, name
        assert b"\r" not in content and content.endswith(b"\n")
        assert f"| {len(content):,} | {len(content.decode()):,} |" in readme
