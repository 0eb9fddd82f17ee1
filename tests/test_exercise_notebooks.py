"""The exercise notebooks: what is made from the lessons, and the tool that solves them."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import solving
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import exercises as tool
from course_utils.exercises.checking import LESSONS
from course_utils.exercises.checking import exercises as checked

BOOKS = sorted((ROOT / "exercises").glob("[0-9][0-9]_*.ipynb"))
LESSON_FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
SETUP = "import importlib.util\n\nfrom course_utils import masks"
STUB = 'def my_sum(a, b):\n    raise NotImplementedError\n\n\ncheck("01.1", my_sum)'


# ---- the committed notebooks


def made(lesson: Path) -> dict:
    """The exercise notebook of a lesson of the course."""
    return tool.exercise_book(lesson, tool.links.home(ROOT))


def text(book: dict, kind: str) -> str:
    """All cells of one kind, one after the other."""
    return "\n".join(tool.source_of(c) for c in book["cells"] if c["cell_type"] == kind)


def stored(lesson: Path) -> dict:
    """A lesson as it is stored."""
    return json.loads(lesson.read_text(encoding="utf-8"))


by_name = pytest.mark.parametrize("lesson", LESSON_FILES, ids=lambda path: path.stem)


def test_stored_notebooks_are_what_the_lessons_say() -> None:
    if any(map(tool.worked_in, BOOKS)):
        pytest.skip("somebody has worked in exercises/")
    assert list(tool.complaints(ROOT)) == []
    assert [book.name for book in BOOKS] == [lesson.name for lesson in LESSON_FILES]


@by_name
def test_notebook_is_valid_and_the_same_each_time(lesson: Path) -> None:
    book = made(lesson)
    assert tool.as_text(book) == tool.as_text(made(lesson))
    read = nbformat.reads(tool.as_text(book), as_version=4)
    nbformat.validate(read)
    names = [cell["id"] for cell in read.cells]
    assert len(names) == len(set(names))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in read.cells)


@by_name
def test_notebook_has_a_statement_a_stub_and_notes_for_each_exercise(lesson: Path) -> None:
    number, cells = lesson.name[:2], made(lesson)["cells"]
    listed = [exercise.name for exercise in checked(number)]
    kinds = []
    for cell in cells:
        source = tool.source_of(cell)
        if found := re.match(r"## (\d\d\.\d) ", source):
            kinds.append(("statement", found[1]))
        if "exercise" in tool.tags_of(cell):
            assert "raise NotImplementedError" in source
            kinds.append(("stub", tool.CHECKED.search(source)[1]))
        if cell["id"].startswith("notes-"):
            assert source == tool.NOTES
            kinds.append(("notes", cell["id"].removeprefix("notes-").replace("-", ".")))
    expected = [(kind, name) for name in listed for kind in ("statement", "stub", "notes")]
    assert kinds == [*expected, ("statement", f"{number}.6"), ("notes", f"{number}.6")]


@by_name
def test_notebook_begins_as_its_lesson_and_ends_with_progress(lesson: Path) -> None:
    cells, setup = made(lesson)["cells"], 0
    for cell in stored(lesson)["cells"]:
        if "setup" in tool.tags_of(cell):
            setup += 1
            assert tool.source_of(cells[1]) == tool.source_of(cell)
    assert setup == 1
    title = tool.source_of(cells[0])
    assert title.startswith(f"# Exercises of lesson {int(lesson.name[:2])}: ")
    assert f"](../notebooks/{lesson.name})" in title
    assert f"/exercises/{lesson.name})" in title and "open_in_colab.svg" in title
    assert tool.source_of(cells[2]) == "from course_utils.exercises import check, progress"
    assert tool.source_of(cells[-1]) == f'progress("{lesson.name[:2]}")'


@by_name
def test_statements_need_nothing_else_of_the_lesson(lesson: Path) -> None:
    words = text(made(lesson), "markdown")
    places = [place for place in re.findall(r"\]\(([^)\s]+)\)", words) if "//" not in place]
    assert places and all((ROOT / "exercises" / place).exists() for place in places)
    levels = [len(found) for found in re.findall(r"^(#+) ", words, re.M)]
    assert levels[0] == 1 and set(levels[1:]) == {2}
    compile(re.sub(r"^\s*%pip.*$", "    pass", text(made(lesson), "code"), flags=re.M), "", "exec")


def test_every_exercise_has_a_solution_and_wrong_answers() -> None:
    for lesson in LESSONS:
        for exercise in checked(lesson):
            source = solving.with_solution(exercise.name, STUB)
            assert re.match(r"from course_utils\.exercises\.\w+ import \w+ as my_sum\n", source)
            assert "NotImplementedError" not in source and source.endswith("my_sum)")
            known = solving.known_wrong(exercise.name)
            assert len(known) >= len(exercise.mistakes) >= 4
    assert sum(not known.whole for known in solving.known_wrong("04.1")) >= 4


# ---- write and check, in a small course


def store(path: Path, *cells: dict) -> Path:
    """A lesson of these cells; ids as in a file that somebody has saved."""
    book = new_notebook(cells=[copy.deepcopy(cell) for cell in cells])
    for number, cell in enumerate(book.cells):
        cell["id"] = f"c{number}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(nbformat.writes(book), encoding="utf-8")
    return path


LESSON_CELLS = (
    new_markdown_cell("# Lesson 1: sums"),
    new_code_cell(SETUP, metadata={"tags": ["setup", "nbval-ignore-output"]}),
    new_markdown_cell("## A section\n\n### 01.1 is not here"),
    new_markdown_cell("## Exercises\n\nRead them."),
    new_code_cell("from course_utils.exercises import check"),
    new_markdown_cell("### 01.1 Warm-up: a sum\n\nAdd."),
    new_code_cell(STUB, metadata={"tags": ["exercise"], "slideshow": {}}, execution_count=3),
    new_markdown_cell("### 01.2 Open-ended\n\nInvent."),
    new_markdown_cell("## What people often get wrong"),
    new_code_cell("print(7)"),
)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one small lesson."""
    setting = '[tool.course]\nrepository = "a/b"\nref = "v1"\n'
    (tmp_path / "pyproject.toml").write_text(setting, encoding="utf-8")
    store(tmp_path / "notebooks" / "01_sums.ipynb", *LESSON_CELLS)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    return tmp_path


def test_write_makes_what_check_asks_for(course: Path, capsys: pytest.CaptureFixture) -> None:
    assert tool.main(["check"]) == 1
    assert capsys.readouterr().out == "exercises/01_sums.ipynb: missing: make format\n"
    assert tool.main(["write"]) == tool.main(["check"]) == 0
    assert capsys.readouterr().out.startswith("wrote exercises/01_sums.ipynb\nthe exercise noteb")
    path = course / "exercises" / "01_sums.ipynb"
    first = path.read_bytes()
    cells = json.loads(first)["cells"]
    assert [cell["id"] for cell in cells] == [
        *("title", "setup", "check", "c3", "c5", "c6", "notes-01-1", "c7", "notes-01-2"),
        *("progress-title", "progress"),
    ]
    assert cells[5]["metadata"] == {"tags": ["exercise"]} and not cells[5]["execution_count"]
    assert tool.source_of(cells[3]) == "Read them."
    assert "github/a/b/blob/v1/exercises/01_sums.ipynb" in tool.source_of(cells[0])
    assert tool.main(["write"]) == 0
    assert capsys.readouterr().out == "" and path.read_bytes() == first and b"\r" not in first


def test_check_sees_a_lesson_that_changed(course: Path, capsys: pytest.CaptureFixture) -> None:
    tool.main(["write"])
    lesson = course / "notebooks" / "01_sums.ipynb"
    lesson.write_text(lesson.read_text(encoding="utf-8").replace("Add.", "Add it."))
    assert list(tool.complaints(course)) == [
        "exercises/01_sums.ipynb: not what the lesson says: make format"
    ]
    lesson.rename(lesson.with_name("01_other.ipynb"))
    tool.main(["write"])
    assert list(tool.complaints(course)) == [
        "exercises/01_sums.ipynb: no lesson has this name: remove it"
    ]


WORK = {
    "ran": lambda cells: cells[2].update(execution_count=1),
    "printed": lambda cells: cells[5].update(
        outputs=[{"output_type": "stream", "name": "stdout", "text": "01.1 passed\n"}]
    ),
    "answered": lambda cells: cells[5].update(source="def my_sum(a, b):\n    return a + b"),
    "noted": lambda cells: cells[6].update(source=tool.NOTES + "It was easy."),
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_work_in_a_notebook_is_never_lost(
    work: Callable[[list[dict]], None], course: Path, capsys: pytest.CaptureFixture
) -> None:
    tool.main(["write"])
    path = course / "exercises" / "01_sums.ipynb"
    assert not tool.worked_in(path)
    book = json.loads(path.read_text(encoding="utf-8"))
    work(book["cells"])
    path.write_text(json.dumps(book), encoding="utf-8")
    before = path.read_bytes()
    capsys.readouterr()
    assert tool.main(["write"]) == 0
    assert "somebody has worked in it" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert "somebody has worked in it" in next(tool.complaints(course))


def test_damaged_notebook_is_written_anew(course: Path) -> None:
    tool.main(["write"])
    path = course / "exercises" / "01_sums.ipynb"
    path.write_bytes(path.read_bytes()[:200])
    assert "not what the lesson says" in next(tool.complaints(course))
    tool.main(["write"])
    assert list(tool.complaints(course)) == []


@pytest.mark.parametrize(
    ("dropped", "complaint"),
    [(1, "no cell is tagged 'setup'"), (3, "no section '## Exercises'"), (6, "a stub has no line")],
)
def test_lesson_of_another_form_is_named(
    dropped: int, complaint: str, course: Path, capsys: pytest.CaptureFixture
) -> None:
    cells = [copy.deepcopy(cell) for cell in LESSON_CELLS]
    if dropped == 6:
        cells[6]["source"] = "check(my_sum)"
    else:
        del cells[dropped]
    store(course / "notebooks" / "01_sums.ipynb", *cells)
    (told,) = tool.complaints(course)
    assert told.startswith(f"notebooks/01_sums.ipynb: {complaint}")
    assert tool.main(["write"]) == 1
    assert complaint in capsys.readouterr().err
    assert not (course / "exercises").exists()


@pytest.mark.parametrize("words", [[], ["solve"], ["write", "01"], ["run", "01", "02"]])
def test_wrong_words_show_how_to_call_the_tool(
    words: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert tool.main(words) == 2
    assert "tools/exercises.py run [LESSON]" in capsys.readouterr().out


def test_unknown_lesson_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert tool.main(["run", "99"]) == 1
    assert capsys.readouterr().err == "no lesson begins with '99' in notebooks/\n"


# ---- run: what the checks say is judged


@pytest.fixture(scope="module")
def as_it_should_be() -> dict[str, solving.Said]:
    """What the three runs of lesson 4 bring when all is well."""
    names = [exercise.name for exercise in checked("04")]
    rejected = {n: [f"{n} not yet: {k.hint}" for k in solving.known_wrong(n)] for n in names}
    lines = [{n: [f"{n} {state}"] for n in names} for state in ("not attempted", "passed")]
    return {
        "as they stand": solving.Said(lines[0], "Lesson 04: 0 of 5 passed", False, ""),
        "solved": solving.Said(lines[1], "Lesson 04: 5 of 5 passed", True, ""),
        "wrong": solving.Said(rejected, "Lesson 04: 0 of 5 passed", True, ""),
    }


def test_good_runs_have_no_complaint(as_it_should_be: dict[str, solving.Said]) -> None:
    wrong: list[str] = []
    rows = list(solving.judge(as_it_should_be, "04", wrong))
    assert wrong == []
    assert [row.name for row in rows] == [exercise.name for exercise in checked("04")]
    assert all(row.rejected == row.known >= 20 for row in rows)
    shown = repr(solving.as_table(rows)).splitlines()
    assert re.split(r"  +", shown[0])[0] == "exercise" and len(shown) == 6
    assert re.fullmatch(r"04\.1 +Bits per byte +not attempted +passed +(\d+) of \1", shown[1])


BAD_LINES = {
    "a stub is judged": ("as they stand", ["04.2 not yet: what?"], "expected 'not attempted'"),
    "a stub says nothing": ("as they stand", [], "says 'nothing', expected 'not attempted'"),
    "one line more": ("as they stand", ["04.2 not attempted", "oh"], "not attempted / oh"),
    "a solution fails": ("solved", ["04.2 not yet: what?"], "expected 'passed'"),
    "a wrong answer passes": ("wrong", ["04.2 passed"], "says '04.2 passed', expected '"),
    "a hint of another": ("wrong", ["04.2 not yet: your bits are nats?"], "expected '"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_each_bad_line_is_found(case: str, as_it_should_be: dict[str, solving.Said]) -> None:
    way, lines, complaint = BAD_LINES[case]
    said = as_it_should_be[way]
    good = said.lines["04.2"][len(lines) :] if way == "wrong" else []
    runs = {**as_it_should_be, way: said._replace(lines={**said.lines, "04.2": lines + good})}
    wrong: list[str] = []
    rows = list(solving.judge(runs, "04", wrong))
    assert len(wrong) == 1 and wrong[0].startswith("04.2: ") and complaint in wrong[0]
    assert [row.known - row.rejected for row in rows] == [0, int(way == "wrong"), 0, 0, 0]


@pytest.mark.parametrize("change", [-1, 1])
def test_each_wrong_answer_has_one_line(
    change: int, as_it_should_be: dict[str, solving.Said]
) -> None:
    said = as_it_should_be["wrong"]
    lines = (said.lines["04.2"] + ["odd"])[: len(said.lines["04.2"]) + change]
    runs = {**as_it_should_be, "wrong": said._replace(lines={**said.lines, "04.2": lines})}
    wrong: list[str] = []
    rows = list(solving.judge(runs, "04", wrong))
    assert len(wrong) == 1 and f"04.2: {len(lines)} lines, expected" in wrong[0]
    assert rows[1].known - rows[1].rejected == int(change == -1)


BAD_RUNS = {
    "kept": ("as they stand", {"kept": True}, "written down as tried"),
    "lost": ("solved", {"progress": "Lesson 04: 4 of 5 passed"}, "'5 of 5 passed'"),
    "too many": ("wrong", {"progress": "Lesson 04: 1 of 5 passed"}, "'0 of 5 passed'"),
    "stopped": ("solved", {"error": "cell 3 of 9: NameError: x"}, "04, solved: cell 3 of 9"),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_each_bad_run_is_found(case: str, as_it_should_be: dict[str, solving.Said]) -> None:
    way, change, complaint = BAD_RUNS[case]
    runs = {**as_it_should_be, way: as_it_should_be[way]._replace(**change)}
    wrong: list[str] = []
    list(solving.judge(runs, "04", wrong))
    assert len(wrong) == 1 and complaint in wrong[0]


def test_own_hint_is_asked_for_word_by_word() -> None:
    whole, piece = (solving.Known(None, "why?", exact) for exact in (True, False))
    assert whole.fits("04.1", "04.1 not yet: why?") and piece.fits("04.1", "04.1 not yet: so why?")
    for line in ("04.1 not yet: so why?", "04.1 passed", "why?", "04.2 not yet: why?"):
        assert not whole.fits("04.1", line)
    for line in ("04.1 passed", "so why?", "04.2 not yet: why?", "04.1 not yet: how?"):
        assert not piece.fits("04.1", line)


def test_kernels_see_this_package_and_the_environment_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COURSE_STRICT", "1")
    monkeypatch.setenv("COURSE_PROGRESS", "mine.json")
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), solving.own_environment():
        assert os.environ["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
        assert not {"COURSE_STRICT", "COURSE_PROGRESS"} & set(os.environ)
        raise ZeroDivisionError
    assert dict(os.environ) == before


# ---- in true kernels


@pytest.mark.slow
def test_run_solves_a_lesson(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    places = [ROOT / folder / "progress.json" for folder in ("", "notebooks", "exercises")]
    before = [place.exists() and place.read_bytes() for place in places]
    assert tool.main(["run", "03"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^03\.5 .* not attempted +passed +(\d+) of \1$", said, re.M)
    assert re.search(
        r"^5 exercises, (\d+) of \1 known wrong answers got their own hint$", said, re.M
    )
    assert [place.exists() and place.read_bytes() for place in places] == before


@pytest.mark.slow
def test_error_in_a_cell_is_a_complaint(course: Path) -> None:
    book = tool.exercise_book(course / "notebooks" / "01_sums.ipynb", tool.links.home(course))
    with solving.own_environment():
        said = solving.told(book, lambda name, source: "1 / 0")
    assert "ZeroDivisionError" in said.error and said.lines == {"01.1": []} and not said.kept


@pytest.mark.slow
def test_progress_outlives_the_kernel(tmp_path: Path) -> None:
    for name in ("notebooks", "exercises"):
        (tmp_path / name).mkdir()
    begin = "from course_utils.exercises import check, progress\n"
    ours = "from course_utils.exercises.byte_pair_encoding_solutions import pair_counts as f\n"
    first = store(
        tmp_path / "notebooks" / "03_bpe.ipynb",
        new_code_cell(begin + ours + 'check("03.1", f)\ncheck("03.2", f)'),
    )
    second = store(tmp_path / "exercises" / "03_bpe.ipynb", new_code_cell(begin + 'progress("03")'))
    with solving.own_environment():
        ran, _ = tool.notebooks.execute(first, {})
        shown, _ = tool.notebooks.execute(second, {})
    assert solving.printed(ran.cells[0]).startswith("03.1 passed\n03.2 not yet")
    (output,) = shown.cells[0].outputs
    assert "Lesson 03: 1 of 5 passed" in output.data["text/html"]
    states = [re.split(r"  +", line)[-1] for line in output.data["text/plain"].splitlines()[2:]]
    assert states == ["passed", "tried once", *["not attempted"] * 3]
    names = [path.name for path in (tmp_path / "notebooks").iterdir()]
    assert "progress.json" in names and not (tmp_path / "exercises" / "progress.json").exists()
