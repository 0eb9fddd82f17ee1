"""`make lint`: each rule accepts a small right lesson and rejects wrong ones, in the right words.

The rules are then applied to the course itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

lint, rules, structure, text, notebooks = map(
    importlib.import_module, ("lint", "lint_rules", "lint_structure", "lint_text", "notebooks")
)

PNG = {"image/png": "aGk="}
HOME = "/" + "home/ann/x.txt"
BOX = "\n".join(
    [
        "| | |",
        "|---|---|",
        *(f"| **{row}** | words |" for row in ("You will be able to", "You need")),
    ]
)
SETUP = """if importlib.util.find_spec("course_utils") is None:
    %pip install -q git+https://github.com/us/course@v1
from course_utils import masks"""
CODE = "x = 1  # a color; see http://x, [y](z)"  # no prose, so no rule for texts is asked
STUB = 'def my(x):\n    raise NotImplementedError\n\n\ncheck("09.{}", my)'


def shown(kind: str, **more: object) -> dict:
    """Metadata with a slide type."""
    return {"slideshow": {"slide_type": kind}, **more}


def tagged(*words: str) -> dict:
    """Metadata with tags."""
    return {"tags": list(words)}


def a_stream(name: str, words: str) -> dict:
    return new_output("stream", name=name, text=words)


def exercise_cells() -> list[dict]:
    """Three exercises with a check, and one without."""
    cells = [new_markdown_cell("## Exercises", id="exercises", metadata=shown("slide"))]
    for k, kind in enumerate(("Warm-up", "Core", "Stretch"), 1):
        cells.append(new_markdown_cell(f"### 09.{k} {kind}: add", id=f"exercise-{k}"))
        cells.append(new_code_cell(STUB.format(k), id=f"stub-{k}", metadata=tagged("exercise")))
    return [*cells, new_markdown_cell("### 09.4 Open-ended: your own", id="exercise-4")]


def last_cells() -> list[dict]:
    """Three misconceptions and the summary."""
    cells = [new_markdown_cell("## Three misconceptions", id="beliefs", metadata=shown("slide"))]
    for k in (1, 2, 3):
        cells.append(new_markdown_cell(f'**{k}. "It is so."** It is not:', id=f"belief-{k}"))
        cells.append(new_code_cell("assert 1 + 1 == 2", id=f"refuted-{k}"))
    reading = "## Summary\n\n### What to read next\n\nA paper.\n\n### What changed since\n\nMuch."
    return [*cells, new_markdown_cell(reading, id="summary", metadata=shown("slide"))]


def good_book() -> dict:
    """A small lesson that keeps every rule."""
    pictures = "![a line](../img/line.png) <img src='../img/line.png' alt='a dot'>"
    title = f"# A lesson\n\n**What is it?**\n\n{pictures}"
    badge = "[![Open in Colab](../img/line.png)](https://colab.research.google.com/x)"
    cells = [
        new_markdown_cell(title, id="title", metadata=shown("slide")),
        new_markdown_cell(f"{BOX}\n| **Time** | one minute |", id="box", metadata=shown("skip")),
        new_markdown_cell(f"## Set-up\n\n{badge}", id="set-up", metadata=shown("skip")),
        new_code_cell(SETUP, id="install", metadata=tagged("setup")),
        new_code_cell("steps = 3", id="parameters", metadata=tagged("parameters")),
        new_markdown_cell("## Story\n\n[see](#set-up)", id="story", metadata=shown("slide")),
        new_code_cell("print(2)", id="printed", outputs=[a_stream("stdout", "2\n")]),
        new_code_cell(
            "draw()",
            id="drawn",
            outputs=[new_output("display_data", PNG, metadata={})],
            metadata={"alt": "a dot"},
        ),
        new_code_cell("explore()", id="explored", metadata=tagged("widget")),
        new_code_cell(CODE, id="compared", metadata=tagged("nbval-ignore-output")),
        new_markdown_cell("Ask: why?", id="notes", metadata=shown("notes")),
        new_code_cell("", id="empty"),
        *exercise_cells(),
        *last_cells(),
    ]
    code = [cell for cell in cells if cell["cell_type"] == "code" and cell["source"]]
    for number, cell in enumerate(code, 1):
        cell["execution_count"] = number
    return new_notebook(cells=cells, metadata={"kernelspec": dict(notebooks.KERNEL)})


def put(name: str, **change: object) -> Callable[[dict], None]:
    """A change of one cell."""
    return lambda book: next(c for c in book["cells"] if c["id"] == name).update(change)


def drop(*names: str) -> Callable[[dict], None]:
    """A change that leaves cells out."""

    def change(book: dict) -> None:
        book["cells"] = [cell for cell in book["cells"] if cell["id"] not in names]

    return change


def to_end(name: str) -> Callable[[dict], None]:
    """A change that moves a cell to the end."""
    return lambda book: book["cells"].sort(key=lambda cell: cell["id"] == name)


def about(**change: object) -> Callable[[dict], None]:
    """A change of the notebook's own metadata."""
    return lambda book: book["metadata"].update(change)


ERROR = new_output("error", ename="E", evalue="", traceback=[])
WIDGET = new_output("display_data", {notebooks.WIDGET: {}})
# The rule, what to change in the good lesson, and a piece of the complaint.
WRONG = {
    "count": (rules.one_run_rule, put("printed", execution_count=7), "1, 2, 3"),
    "never run": (rules.one_run_rule, put("printed", execution_count=None), "1, 2, 3"),
    "error": (rules.one_run_rule, put("printed", outputs=[ERROR]), "holds an error"),
    "stderr": (rules.one_run_rule, put("printed", outputs=[a_stream("stderr", "W")]), "stderr: W"),
    "no output": (rules.one_run_rule, put("printed", outputs=[]), "prints and has no output"),
    "state": (rules.clean_rule, about(widgets={}), "widget state"),
    "kernel": (rules.clean_rule, about(kernelspec={"name": "mine"}), "the kernel is"),
    "times": (rules.clean_rule, put("printed", metadata={"execution": {}}), "times of its run"),
    "widget": (rules.clean_rule, put("printed", outputs=[WIDGET]), "holds a widget"),
    "path": (rules.clean_rule, put("printed", outputs=[a_stream("stdout", HOME)]), "path /home"),
    "path in code": (rules.clean_rule, put("printed", source=f"open('{HOME}')"), "absolute path"),
    "Windows path": (rules.clean_rule, put("printed", source="open('C:\\U')"), "absolute path C:"),
    "alt": (rules.alt_rule, put("title", source="![](line.png)"), "no alternative text"),
    "alt, tag": (rules.alt_rule, put("title", source="<img src='x'>"), "no alternative text"),
    "alt, empty": (rules.alt_rule, put("title", source="<img alt='' src='x'>"), "no alternative"),
    "alt, drawn": (rules.alt_rule, put("drawn", metadata={}), '"alt": "words"'),
    "long": (rules.size_rule, put("printed", source="x = 1\n" * 26), "26 lines of code"),
    "nbval tag": (rules.compared_rule, put("drawn", metadata=tagged("nbval-skip")), "nbval-skip"),
    "nbval_": (rules.compared_rule, put("drawn", metadata=tagged("nbval_ignore_output")), "is not"),
    "raises": (rules.compared_rule, put("drawn", metadata=tagged("raises-exception")), "use try"),
    "comment": (rules.compared_rule, put("drawn", source="# NBVAL_SKIP\nx = 1"), "use the tag"),
    "slide type": (rules.slides_rule, put("story", metadata=shown("Slide")), "is 'Slide', not one"),
    "section": (rules.slides_rule, put("story", metadata={}), "a section begins a slide"),
    "first slide": (rules.slides_rule, put("title", metadata=shown("skip")), "title is no slide"),
    "no notes": (rules.slides_rule, drop("notes"), "'notes'"),
    "title": (structure.title_rule, put("title", source="A lesson"), "is not the title"),
    "question": (structure.title_rule, put("title", source="# A\n\n**It is.**"), "no question"),
    "in text": (structure.title_rule, put("title", source="# A\n\nSo **why?** So."), "no question"),
    "picture": (structure.title_rule, put("title", source="# A\n\n**Why?**"), "no picture"),
    "box": (structure.title_rule, put("box", source=BOX), "no row Time"),
    "box, empty": (structure.title_rule, put("box", source=f"{BOX}\n| **Time** |  |"), "row Time"),
    "no box": (structure.title_rule, drop("box"), "You will be able to, You need, Time"),
    "no set-up": (structure.setup_rule, drop("set-up"), "after the box comes '## Set-up'"),
    "set-up": (structure.setup_rule, put("install", source="import course_utils\n" * 13), "in 12"),
    "other": (structure.setup_rule, put("install", source="import torch"), "imports course_utils"),
    "untagged": (structure.setup_rule, put("install", metadata={}), "0 cells are tagged 'setup'"),
    "late": (structure.setup_rule, to_end("parameters"), "must be cell 5"),
    "none": (structure.setup_rule, drop("parameters"), "0 cells are tagged 'parameters'"),
    "two": (structure.setup_rule, put("drawn", metadata=tagged("parameters")), "2 cells"),
    "level": (structure.headings_rule, put("story", source="## A\n\n#### B"), "'#### B' comes"),
    "title twice": (structure.headings_rule, put("story", source="# B"), "a second title, '# B'"),
    "name twice": (structure.headings_rule, put("story", source="## Summary"), "one name"),
    "order": (structure.headings_rule, to_end("exercises"), "last sections are ['Misconceptions'"),
    "no end": (structure.headings_rule, drop("summary"), "not Exercises, ... misconceptions"),
    "kind": (structure.exercises_rule, put("exercise-2", source="### 09.2 Hard: a"), "NN.k Kind"),
    "number": (structure.exercises_rule, put("exercise-2", source="### 09.5 Core: a"), "NN.1"),
    "lesson": (
        structure.exercises_rule,
        put("exercise-2", source="### 08.2 Core: a"),
        ": 09.1, 08",
    ),
    "three": (structure.exercises_rule, drop("exercise-4"), "3 exercises, 3 with a check"),
    "checks": (structure.exercises_rule, drop("stub-3"), "4 exercises, 2 with a check"),
    "solved": (structure.exercises_rule, put("stub-1", source='check("09.1", my)'), "stub raises"),
    "check": (structure.exercises_rule, put("stub-2", source=STUB.format(1)), 'check("09.2", '),
    "far": (structure.exercises_rule, put("drawn", metadata=tagged("exercise")), "outside the"),
    "beliefs": (structure.end_rule, drop("belief-2"), "2 misconceptions, at least 3"),
    "unrefuted": (structure.end_rule, drop("refuted-2"), "no cell runs that refutes"),
    "last unrefuted": (structure.end_rule, drop("refuted-3"), "no cell runs that refutes"),
    "reading": (structure.end_rule, put("summary", source="## Summary"), "'### What to read next'"),
    "later": (structure.end_rule, put("summary", source="## Summary"), "'### What changed since'"),
    "no picture": (structure.widget_rule, drop("drawn"), "no static picture before it"),
    "after": (structure.widget_rule, to_end("drawn"), "no static picture before it"),
}


def of(rule: Callable) -> str:
    return rule.__name__


@pytest.mark.parametrize("rule", lint.RULES, ids=of)
def test_rule_accepts(rule: Callable) -> None:
    assert list(rule(good_book())) == []


@pytest.mark.parametrize("case", WRONG)
def test_rule_rejects(case: str) -> None:
    rule, change, words = WRONG[case]
    book = good_book()
    change(book)
    found = list(rule(book))
    assert any(words in complaint for _, complaint in found), found


def test_every_rule_was_seen_to_reject() -> None:
    assert {rule for rule, _, _ in WRONG.values()} == set(lint.RULES)


def test_size_rule_weighs_all_cells_together() -> None:
    def told(*lengths: int) -> list[str]:
        book = new_notebook(cells=[new_code_cell("x = 1\n" * length) for length in lengths])
        return [complaint for _, complaint in rules.size_rule(book)]

    assert told(7) == ["the median code cell has 7 lines, at most 6"]
    assert told(1, 1, 16) == ["one code cell in ten has 16 lines or more, at most 15"]
    assert told() == ["it has no code"]


# The files, and the lessons together.


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A small course without anything wrong."""
    for folder in ("notebooks", "img", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "img" / "line.png").write_bytes(b"")
    for name in ("01_a", "02_b"):
        nbformat.write(good_book(), tmp_path / "notebooks" / f"{name}.ipynb")
    (tmp_path / "Makefile").write_text("test: ## test\n\techo\n")
    (tmp_path / "README.md").write_text(
        "# Course\n\n## What is *in* `it`?\n\nRun `make test`; [how](#what-is-in-it), "
        "[a](notebooks/01_a.ipynb#set-up), [b](https://arxiv.org/abs/1706.03762).\n\n"
        "```\nmake test  # make sure\nhttp://x\n```\n",
        encoding="utf-8",
    )
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    """Replace words in a file, byte by byte."""
    data = path.read_bytes()
    assert old.encode() in data
    path.write_bytes(data.replace(old.encode(), new.encode()))


def test_lessons_of_a_right_course_pass(course: Path) -> None:
    assert list(lint.lesson_complaints(course)) == []


# What to change in the file of the second lesson, and the complaint about it.
WRONG_FILES = {
    "\\r": ("\n", "\r\n", "lines end with"),
    "size": ("Ask: why?", "x" * 50_000, "at most 50000"),
    "json": ("{", "", "no valid notebook"),
    "format": ('"source"', '"text"', "no valid notebook"),
    "id twice": ('"id": "story"', '"id": "title"', "no valid notebook"),
    "no id": ('"id": "story",', "", "no valid notebook"),
    "set-up": ("%pip install -q", "%pip install", "does not begin as in the first lesson"),
    "no set-up": ("%pip install -q", "%conda install", "does not begin as in the first lesson"),
    "a cell": ("steps = 3", 'open(\\"' + HOME, 'cell 5 (open("' + HOME + "): it names"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_lesson_file_is_rejected(course: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "LARGEST_FILE", 50_000)
    old, new, words = WRONG_FILES[case]
    path = course / "notebooks" / "02_b.ipynb"
    edit(path, old, new)
    found = list(lint.lesson_complaints(course))
    assert len(found) == 1 and found[0].startswith("notebooks/02_b.ipynb: "), found
    assert words in found[0]


def test_lessons_without_cells_or_out_of_order_are_rejected(course: Path) -> None:
    (course / "notebooks" / "02_b.ipynb").rename(course / "notebooks" / "03_b.ipynb")
    nbformat.write(new_notebook(), course / "notebooks" / "04_c.ipynb")
    assert list(lint.lesson_complaints(course)) == [
        "notebooks/04_c.ipynb: no valid notebook: it has no cells",
        "notebooks: the lessons are not numbered 01, 02, ...: 01_a.ipynb, 03_b.ipynb, 04_c.ipynb",
    ]


# Words and links.


@pytest.mark.parametrize("check", text.CHECKS, ids=of)
def test_text_check_accepts(course: Path, check: Callable) -> None:
    assert list(check(course)) == []


# The check, the file, what is planted in it, and the complaint.
WRONG_TEXTS = {
    "word": (text.spelling, "README.md", "te" + "h word", "line 11: te" + "h ==> the"),
    "word in a lesson": (text.spelling, "notebooks/01_a.ipynb", "recie" + "ve", "==> receive"),
    "American": (text.spelling, "README.md", "the col" + "or", "American"),
    "no file": (text.relative_links, "README.md", "[x](img/no.png)", "img/no.png leads to no file"),
    "in docs": (text.relative_links, "docs/a.md", "[x](img/line.png)", "leads to no file"),
    "tag": (text.relative_links, "docs/a.md", "<img src='../no.png'>", "leads to no file"),
    "in a lesson": (text.relative_links, "notebooks/01_a.ipynb", "[x](img/line.png)", "no file"),
    "anchor": (text.relative_links, "README.md", "[x](#it)", "no heading; there are course, "),
    "anchor there": (text.relative_links, "README.md", "[x](notebooks/01_a.ipynb#up)", "no head"),
    "outside": (text.relative_links, "README.md", "[x](../y)", "outside the course"),
    "http": (text.addresses, "README.md", "[x](http://arxiv.org)", "does not begin with https"),
    "host": (text.addresses, "README.md", "<https://arxiv/abs>", "names no host"),
    "no host": (text.addresses, "docs/a.md", "[x](https:///abs)", "names no host"),
    "holder": (text.addresses, "README.md", "[x](https://github.com/OWNER/x)", "place-holder"),
    "example": (text.addresses, "README.md", "https://example.com", "place-holder"),
    "target": (text.targets, "README.md", "`make tset`", "has no target 'tset'"),
    "second target": (text.targets, "docs/a.md", "`X=1 make test all Y=2`", "no target 'all'"),
    "in a block": (text.targets, "README.md", "```\nmake lab\n```", "no target 'lab'"),
}


@pytest.mark.parametrize("case", WRONG_TEXTS)
def test_text_check_rejects(course: Path, case: str) -> None:
    check, name, words, complaint = WRONG_TEXTS[case]
    path, number = course / name, None
    if path.suffix == ".ipynb":
        edit(path, "Ask: why?", words)
        number = 11
    else:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{words}\n")
    found = list(check(course))
    assert [(where, cell) for where, cell, _ in found] == [(path, number)], found
    assert complaint in found[0][2]


def test_spelling_looks_at_code_and_not_at_outputs(course: Path) -> None:
    wrong = "recie" + "ve"
    edit(course / "notebooks" / "01_a.ipynb", '"2\\n"', f'"{wrong}\\n"')
    assert list(text.spelling(course)) == []
    edit(course / "notebooks" / "02_b.ipynb", "x = 1", f"x = 1  # {wrong}")
    (course / "tools").mkdir()
    (course / "tools" / "a.py").write_text(
        f'"""A {wrong}r."""\n\n{wrong}s = "naïve caf"\n', "utf-8"
    )
    found = [(path.name, cell) for path, cell, _ in text.spelling(course)]
    assert found == [("a.py", None), ("a.py", None), ("02_b.ipynb", 10)]


def test_slugs_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A b\n## A b\n## `x_y`: [Ä](z), 1.5 - 2!\n```\n# no\n```\n", encoding="utf-8")
    assert text.anchors(page) == {"a-b", "a-b-1", "x_y-ä-15---2"}


# The course itself.


@pytest.mark.notebook
def test_lessons_keep_every_rule() -> None:
    assert list((ROOT / "notebooks").glob("*.ipynb"))
    assert list(lint.lesson_complaints(ROOT)) == []


@pytest.mark.parametrize("check", [text.relative_links, text.addresses, text.targets], ids=of)
def test_course_keeps(check: Callable) -> None:
    assert [lint.line(ROOT, *found) for found in check(ROOT)] == []


@pytest.mark.slow
def test_course_is_spelled_right() -> None:
    assert [lint.line(ROOT, *found) for found in text.spelling(ROOT)] == []


@pytest.mark.slow
def test_words_that_are_meant_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = text.WORDS.read_text(encoding="utf-8").split()
    assert words == sorted(set(words))
    monkeypatch.setattr(text, "WORDS", tmp_path / "none.txt")
    (tmp_path / "none.txt").write_text("")
    found = "\n".join(complaint.lower() for _, _, complaint in text.spelling(ROOT))
    assert [word for word in words if f"{word} ==>" not in found] == []


@pytest.mark.parametrize("part", ["links", "exercises"])
def test_lint_asks_the_other_tools(
    part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(lint, "lesson_complaints", lambda root: [])
    monkeypatch.setattr(text, "CHECKS", [])
    for name in ("links", "exercises"):
        monkeypatch.setattr(getattr(lint, name), "complaints", lambda root: [])
    assert lint.main() == 0
    assert "in order" in capsys.readouterr().out
    monkeypatch.setattr(getattr(lint, part), "complaints", lambda root: [f"{root.name} is wrong"])
    assert lint.main() == 1
    assert capsys.readouterr().out == f"{ROOT.name} is wrong\n"
