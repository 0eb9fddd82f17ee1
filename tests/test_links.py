"""Badges and the line that installs the course: all from one setting (tools/links.py)."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

links = importlib.import_module("links")
HERE = links.home(ROOT)
SETTING = """[project]
name = "course"
version = "{version}"

[project.urls]
Repository = "https://github.com/{repository}"

[tool.course]
repository = "{repository}"
ref = "{ref}"
"""


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pages with links and of their setting, for the tool to work on."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(links, "ROOT", tmp_path)
    return tmp_path


def move(course: Path, repository: str = HERE.repository, ref: str = HERE.ref) -> None:
    """Give the course another home; its version goes with it."""
    text = SETTING.format(repository=repository, ref=ref, version=ref.removeprefix("v"))
    (course / "pyproject.toml").write_text(text, encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of some words in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8", newline="\n")


def pages(course: Path) -> list[Path]:
    """The files that hold links of the course to itself."""
    return [*sorted(course.glob("notebooks/*.ipynb")), course / "README.md"]


def test_course_is_right_and_written_the_same_again(course: Path) -> None:
    before = {path: path.read_bytes() for path in pages(course)}
    assert list(links.complaints(ROOT)) == []
    assert links.main(["check"]) == links.main(["write"]) == 0
    assert {path: path.read_bytes() for path in pages(course)} == before


@pytest.mark.parametrize(
    ("repository", "ref"),
    [
        (f"somebody/{HERE.repository.split('/')[1]}", HERE.ref),
        ("us/name", HERE.ref),
        (HERE.repository, "v9.8.7"),
    ],
    ids=["owner", "name", "ref"],
)
def test_one_setting_changes_every_link(
    course: Path, repository: str, ref: str, capsys: pytest.CaptureFixture
) -> None:
    move(course, repository, ref)
    assert links.main(["check"]) == 1
    said = capsys.readouterr().out
    for path in pages(course):
        assert f"{path.relative_to(course).as_posix()}: badge or install line" in said
    assert links.main(["write"]) == 0
    assert capsys.readouterr().out.count("mended ") == len(pages(course))
    assert links.main(["check"]) == 0
    colab = f"https://colab.research.google.com/github/{repository}/blob/{ref}/notebooks/"
    for path in pages(course)[:-1]:
        text = path.read_text(encoding="utf-8")
        setup = [c for c in json.loads(text)["cells"] if "setup" in c["metadata"].get("tags", [])]
        install = f"    %pip install -q git+https://github.com/{repository}@{ref}\n"
        assert install in setup[0]["source"]
        assert f"({colab}{path.name})" in text
        assert f"({colab}{path.name})" in (course / "README.md").read_text(encoding="utf-8")
    old = f"github/{HERE.repository}/blob/{HERE.ref}/"
    assert not any(old in path.read_text(encoding="utf-8") for path in pages(course))


REPOSITORY = f"{HERE.repository}/blob/{HERE.ref}/notebooks/"
LESSON = "notebooks/02_transformer.ipynb"
# The file, what is replaced in it by what, and the complaint.
WRONG = {
    "badge": (LESSON, f"blob/{HERE.ref}", "blob/main", f"{LESSON}: badge or install line"),
    "other lesson": (LESSON, "notebooks/02_", "notebooks/03_", f"{LESSON}: badge or install line"),
    "install": (LESSON, f"@{HERE.ref}", "@v0.0.1", f"{LESSON}: badge or install line"),
    "no install ref": (LESSON, f"@{HERE.ref}", "", f"{LESSON}: badge or install line"),
    "README": ("README.md", REPOSITORY, "someone/else/blob/main/notebooks/", "README.md: badge"),
    "ref": ("pyproject.toml", f'ref = "{HERE.ref}"', 'ref = "main"', "ref is main, the version is"),
    "Repository": ("pyproject.toml", f"github.com/{HERE.repository}", "github.com/a/b", "says"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_link_is_named(course: Path, case: str) -> None:
    name, old, new, words = WRONG[case]
    edit(course / name, old, new)
    found = list(links.complaints(course))
    assert any(words in line for line in found), found
    assert links.main(["check"]) == 1


def test_readme_without_a_badge_is_named(course: Path) -> None:
    edit(course / "README.md", HERE.badge("03_bpe.ipynb", ""), "")
    assert list(links.complaints(course)) == ["README.md: no badge for 03_bpe.ipynb"]


@pytest.mark.parametrize("change", ["badge", "install line"])
def test_lesson_without_its_link_is_named(course: Path, change: str) -> None:
    path = course / "notebooks" / "03_bpe.ipynb"
    gone = HERE.badge(path.name, "../") if change == "badge" else HERE.install()
    edit(path, gone, "pass" if change == "install line" else "")
    assert any("03_bpe" in line for line in links.complaints(course))


def test_course_without_a_setting_is_told_what_to_write(course: Path) -> None:
    edit(course / "pyproject.toml", "repository = ", "repo = ")
    with pytest.raises(SystemExit, match=r"pyproject.toml: \[tool.course\] needs repository ="):
        links.main(["check"])


def test_unknown_word_shows_the_usage(capsys: pytest.CaptureFixture) -> None:
    assert links.main([]) == 2
    assert "python tools/links.py write" in capsys.readouterr().out
