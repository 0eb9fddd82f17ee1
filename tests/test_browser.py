"""The lessons in a real browser: JupyterLab in headless Chromium.

The small notebooks show that each check sees what it is for; then lesson 1 has to pass them all. It
learns from few sentences here, and what it says about scores is left out: that is for test_lessons.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import nbformat
import psutil
import pytest
from browser import (
    Lab,
    complaints,
    open_notebook,
    open_page,
    questions,
    running_lab,
    write_notebook,
)
from conftest import ROOT, load_tool

pytestmark = pytest.mark.slow

EXPLORER = """
import numpy
from course_utils.explorers import attention_explorer

def weights(source, target):
    return numpy.eye(len(target.split()) + 1, len(source.split()))

attention_explorer(weights, lambda sources: ["a b c"], ["one two", "three four five", "six"])
"""
UNCHECKED = """
import ast

class Unchecked(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

get_ipython().ast_transformers.append(Unchecked())
"""
# A slider that moves and does nothing.
DEAD = EXPLORER.replace("attention_explorer(w", "view = attention_explorer(w") + (
    "view.children[0].unobserve_all(); view"
)
PICTURE = "../img/01_seq2seq_attention/bottleneck.svg"
DRAW = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
LATE_ERROR = "setTimeout(() => {throw Error('late')})"
NEWS = "JUPYTERLAB_SETTINGS_DIR/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
# What is wrong in a notebook, and the complaint about it. Cell 0 is an explorer.
WRONG = {
    "cell 1: this picture does not load: lost": "![lost](../img/lost.svg)",
    "cell 2: this picture does not load: far": "![far](http://192.0.2.1/far.png)",
    "cell 3: stderr: beware": "import sys; print('beware', end='', file=sys.stderr)",
    "JavaScript: late": f'import IPython.display as d; d.Javascript("{LATE_ERROR}")',
    "cell 5: ZeroDivisionError: division by zero": "1 / 0",
    "cell 6: did not run": "print('not reached')",
}
CONSEQUENCES = {"fetched from elsewhere: http://192.0.2.1/far.png", "2 red outputs are shown"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the lessons and their pictures: JupyterLab stores what it runs."""
    folder = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "img"):
        hidden = shutil.ignore_patterns(".*", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=hidden)
    return folder


@pytest.fixture(scope="module")
def lab(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on the copy."""
    browser.need_browser()
    with running_lab(root, tmp_path_factory.mktemp("lab")) as started:
        yield started


@pytest.mark.parametrize("missing", ["find_browser", "find_spec"])
def test_missing_browser_is_said(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, missing, lambda *name: None)
    monkeypatch.delenv("COURSE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"install (chromium|playwright)"):
        browser.need_browser()
    monkeypatch.setenv("COURSE_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="COURSE_BROWSER=required asks for it"):
        browser.need_browser()


def test_start_page_lists_the_lessons_and_asks_nothing(lab: Lab, root: Path) -> None:
    lessons = {path.name for path in ROOT.glob("notebooks/*.ipynb")}

    def opened() -> tuple[set[str], list[str]]:
        with open_page(lab.folder) as visit:
            visit.page.goto(lab.url())
            visit.page.wait_for_selector(".jp-DirListing-itemText")
            visit.page.wait_for_timeout(2000)  # questions come a moment after the list
            listed = visit.page.locator(".jp-DirListing-itemText").all_inner_texts()
            assert (visit.foreign, visit.errors) == ([], [])
            return set(listed), questions(visit.page)

    listed, asked = opened()
    assert lessons <= listed
    assert asked == []
    # A reader's own setting comes before that of the set-up; the check sees the question.
    setting = lab.folder / NEWS
    setting.parent.mkdir(parents=True)
    setting.write_text('{"fetchNews": "none"}')
    try:
        assert "get notified about official Jupyter news?" in "".join(opened()[1])
    finally:
        setting.unlink()


def test_sound_notebook_has_no_complaints(lab: Lab, root: Path) -> None:
    python = f"import sys; assert sys.executable == {sys.executable!r}"
    path = write_notebook(root, "sound", python, f"![drawn]({PICTURE})", DRAW, EXPLORER)
    with open_notebook(lab, path) as notebook:
        notebook.run_all(120)
        before, after = notebook.move_slider(3)
        assert (before.text, after.text) == ("one two", "three four five")
        assert before.picture != after.picture
        assert complaints(notebook) == []
        assert [picture["alt"] for picture in notebook.pictures(1, 1)] == ["drawn"]


def test_wrong_notebook_has_each_complaint(lab: Lab, root: Path) -> None:
    with open_notebook(lab, write_notebook(root, "wrong", DEAD, *WRONG.values())) as notebook:
        notebook.run_all(120)
        before, after = notebook.move_slider(0, seconds=2)
        assert before == after
        assert set(complaints(notebook)) == {*WRONG, *CONSEQUENCES}


def test_run_that_takes_too_long_names_its_cells(lab: Lab, root: Path) -> None:
    path = write_notebook(root, "long", "1", "import time; time.sleep(60)")
    with open_notebook(lab, path) as notebook, pytest.raises(AssertionError, match=r"wait: \[1\]"):
        notebook.run_all(3)


# Started by a test, which then ends it: opens a notebook, says so and works on.
SCRIPT = """
import psutil, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # even when the tests run with `&`
sys.path.insert(0, sys.argv[1])
from browser import open_notebook, running_lab
root, folder = map(Path, sys.argv[2:])
try:
    with running_lab(root, folder) as lab, open_notebook(lab, "notebooks/busy.ipynb") as notebook:
        print("opened", flush=True)
        notebook.run_all(600)
except KeyboardInterrupt:
    print(len(psutil.Process().children(recursive=True)), "left")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_no_process_is_left(end: str, tmp_path: Path) -> None:
    browser.need_browser()
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path, "busy", "import time; time.sleep(600)")
    folder = tmp_path / "lab"
    folder.mkdir()
    words = [sys.executable, "-c", SCRIPT, *map(str, (ROOT / "tests", tmp_path, folder))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        open(tmp_path / "said", "w", encoding="utf-8") as said,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, env=environment) as tests,
    ):
        try:
            assert tests.stdout.readline() == b"opened\n", (tmp_path / "said").read_text()
            started = psutil.Process(tests.pid).children(recursive=True)
            lines = [" ".join(process.cmdline()) for process in started]
            for word in ("jupyterlab", "ipykernel_launcher", "profile"):
                assert any(word in line and str(tmp_path) in line for line in lines), word
            tests.send_signal(signal.Signals[end])
            last, _ = tests.communicate(timeout=60)
        finally:
            tests.kill()
    # The `with` blocks end what they began; what is killed has no time for that.
    assert last == (b"0 left\n" if end == "SIGINT" else b"")
    assert still_there(started, seconds=30) == []


def still_there(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Which processes do not end in time; they are killed then."""
    latest = time.monotonic() + seconds
    while any(map(is_alive, processes)) and time.monotonic() < latest:
        time.sleep(0.2)
    left = list(filter(is_alive, processes))
    for process in left:
        process.kill()
    return left


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that only waits to be collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.notebook
def test_lesson_1_runs_in_the_browser(lab: Lab, root: Path) -> None:
    pictures = ROOT / "build" / "browser"
    pictures.mkdir(parents=True, exist_ok=True)
    name = "notebooks/01_seq2seq_attention.ipynb"
    book = nbformat.read(root / name, as_version=4)
    load_tool("notebooks").set_parameters(book, {"MAX_PAIRS": "9000", "EPOCHS": "1", "WIDTH": "24"})
    next(cell for cell in book.cells if cell.cell_type == "code").source += UNCHECKED
    nbformat.write(book, root / name)
    with open_notebook(lab, name) as lesson:
        lesson.run_all(600)
        assert complaints(lesson) == []
        maps = find(lesson, lambda data: "attention map" in data.get("alt", ""))
        explorer = find(lesson, lambda data: "widget" in data.get("tags", ()))
        widths = [picture["width"] for picture in lesson.pictures(maps, expected=1)]
        assert widths and min(widths) > 300, widths
        before, after = lesson.move_slider(explorer)
        lesson.node(maps).screenshot(path=pictures / "01-attention-map.png")
        lesson.node(explorer).screenshot(path=pictures / "01-explorer.png")
        assert before.text != after.text
        assert before.picture != after.picture
        assert complaints(lesson) == []


def find(lesson: browser.Notebook, wanted: Callable[[dict], bool]) -> int:
    """The place of the one cell whose metadata is wanted."""
    (place,) = [index for index, cell in lesson.code_cells() if wanted(cell["metadata"])]
    return place
