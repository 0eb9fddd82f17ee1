"""The tool behind `make run` and `make notebooks`, and what nbval compares.

What must hold in a stored lesson is in tests/test_lint.py.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, load_tool
from nbformat.v4 import new_code_cell, new_notebook, new_output

rules = importlib.import_module("lint_rules")
tools = load_tool("notebooks")


def a_stream(name: str, text: str) -> dict:
    return new_output("stream", name=name, text=text)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course for the tool to work on; returns its notebooks folder."""
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    (tmp_path / "requirements-tested.txt").write_text("")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


def store(folder: Path, name: str, *sources: str) -> Path:
    """A notebook with these code cells, the first tagged `parameters`."""
    cells = [new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(sources)]
    cells[0].metadata["tags"] = ["parameters"]
    path = folder / name
    nbformat.write(new_notebook(cells=cells), path)
    return path


DRAW = "import matplotlib.pyplot as plt\nplt.plot([1, n])\nplt.show()"
BAR = "import ipywidgets\ndisplay(ipywidgets.IntSlider())\nprint('below')"


@pytest.mark.slow
def test_rewrite_gives_the_same_bytes_each_time(
    course: Path, capsys: pytest.CaptureFixture
) -> None:
    path = store(course, "01_a.ipynb", "n = 3", "print(n)", DRAW, BAR, "", "n + 1")
    assert tools.main(["rewrite"]) == 0
    first = path.read_bytes()
    book = json.loads(first)
    assert [*rules.one_run_rule(book), *rules.clean_rule(book)] == []
    assert rules.output_text(book["cells"][3]["outputs"][0]) == "below\n"
    assert ["image/png" in out["data"] for out in book["cells"][2]["outputs"]] == [True]
    assert tools.main(["rewrite", "--force"]) == 0
    assert path.read_bytes() == first
    assert tools.main(["rewrite"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [
        words in line for words, line in zip(["stored", "unchanged", "nothing"], said, strict=True)
    ]
    assert "nothing to do" in said[2]


@pytest.mark.slow
def test_run_writes_pages_and_reports_failures(course: Path, capsys: pytest.CaptureFixture) -> None:
    store(course, "01_good.ipynb", "n = 3", DRAW, "print('n is', n)").read_text()
    bad = store(course, "02_bad.ipynb", "n = 3", "raise ValueError('seven')", "print('after')")
    before = bad.read_bytes()
    assert tools.main(["run", "--set", "n=5"]) == 1
    good_line, bad_line = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[1/2\] 01_good  [\d.]+ s, \d+ MB, build/01_good.html", good_line)
    assert "02_bad  FAILED" in bad_line
    assert "cell 3 of 4: ValueError: seven" in bad_line
    page = (course.parent / "build" / "01_good.html").read_text(encoding="utf-8")
    assert "n is 5" in page
    assert re.search(r'<img alt="[^"]+" src="data:image/png;base64,', page)
    assert "ValueError" in (course.parent / "build" / "02_bad.html").read_text(encoding="utf-8")
    assert bad.read_bytes() == before
    # What went well is not run again; what failed is.
    assert tools.main(["run", "--set", "n=5"]) == 1
    again = capsys.readouterr().out.splitlines()
    assert "nothing to do" in again[0]
    assert "FAILED" in again[1]


LARGE_WIDGET = """with out:
    out.clear_output(wait=True)
    display(ipywidgets.HTML("a"), {{"text/plain": "x" * {size}}}, raw=True)"""


@pytest.mark.slow
def test_run_does_not_wait_for_ever_after_large_widgets(course: Path) -> None:
    """In a process of its own, which can be ended: without `keep_awake` it stops half-way."""
    cells = [LARGE_WIDGET.format(size=20_000 * (k % 8) + 100) for k in range(40)]
    show = "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)"
    store(course, "01_a.ipynb", "n = 3", show, *cells)
    (course.parent / "tools").mkdir()
    tool = shutil.copy(ROOT / "tools" / "notebooks.py", course.parent / "tools")
    run = subprocess.run(
        [sys.executable, str(tool), "run"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0 and "build/01_a.html" in run.stdout, run.stdout + run.stderr
    assert "Task" not in run.stderr


def test_digest_changes_with_all_that_matters(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store(course, "01_a.ipynb", "n = 3")
    seen = [tools.digest(path, {})]
    seen.append(tools.digest(path, {"n": "4"}))
    monkeypatch.setenv("COURSE_DATA_DIR", "elsewhere")
    seen.append(tools.digest(path, {}))
    (course.parent / "course_utils").mkdir()
    (course.parent / "course_utils" / "masks.py").write_text("")
    seen.append(tools.digest(path, {}))
    (course.parent / "data").mkdir()
    (course.parent / "data" / "words.tsv").write_text("")
    seen.append(tools.digest(path, {}))
    store(course, "01_a.ipynb", "n = 4")
    seen.append(tools.digest(path, {}))
    assert len(set(seen)) == len(seen)
    book = json.loads(path.read_text())
    book["cells"][0]["outputs"] = [a_stream("stdout", "only an output")]
    path.write_text(json.dumps(book))
    assert tools.digest(path, {}) == seen[-1]


def test_parameters_are_set_as_python_or_as_words(course: Path) -> None:
    def book() -> nbformat.NotebookNode:
        return nbformat.read(store(course, "01_a.ipynb", "steps = 3", "print(steps)"), as_version=4)

    tools.set_parameters(numbers := book(), {"steps": "5"})
    assert [cell.source for cell in numbers.cells] == ["steps = 3", "steps = 5", "print(steps)"]
    tools.set_parameters(words := book(), {"steps": "../data"})
    assert words.cells[1].source == "steps = '../data'"
    with pytest.raises(tools.LessonError, match=r"no parameter speed; it has \['steps'\]"):
        tools.set_parameters(book(), {"speed": "5"})


def test_unknown_lesson_is_named(course: Path, capsys: pytest.CaptureFixture) -> None:
    assert tools.main(["run", "07"]) == 1
    assert "no lesson begins with '07'" in capsys.readouterr().err


@pytest.mark.slow
def test_nbval_compares_what_it_should(tmp_path: Path) -> None:
    stored = {
        "same": ("print(1 + 1)", "2\n", []),
        "wrong": ("print(1 + 1)", "3\n", []),
        "tagged": ("print(1 + 1)", "3\n", ["nbval-ignore-output"]),
        "time": ("print('took 3.25 s at 0x7f00aa00bb')", "took 7.5 s at 0x7fffff1111\n", []),
        "tail": ("print(0.123456789)", "0.12345111\n", []),
        "digits": ("print(0.12345)", "0.12346\n", []),
    }
    cells = [
        new_code_cell(source, execution_count=k, outputs=[a_stream("stdout", text)])
        for k, (source, text, _) in enumerate(stored.values(), 1)
    ]
    for cell, (_, _, words) in zip(cells, stored.values(), strict=True):
        cell.metadata["tags"] = words
    nbformat.write(new_notebook(cells=cells), tmp_path / "try.ipynb")
    options = ["--nbval", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "-v"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path / "try.ipynb")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = re.findall(r"Cell \d+ (PASSED|FAILED)", run.stdout)
    expected = {"wrong": "FAILED", "digits": "FAILED"}
    assert verdicts == [expected.get(name, "PASSED") for name in stored], run.stdout
