"""The lessons run as on Colab: alone, installed by themselves, with the stored outputs, in time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, load_tool
from nbformat.v4 import new_code_cell, new_notebook, new_output

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))

budget, colab, links = load_tool("budget"), load_tool("colab"), load_tool("links")
notebooks = load_tool("notebooks")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colab.snapshot(tmp_path_factory.mktemp("store"))


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.parametrize(
    "lesson", [pytest.param(p, marks=pytest.mark.xdist_group(p.stem), id=p.stem) for p in LESSONS]
)
def test_lesson_runs_as_on_colab_within_its_budget(
    lesson: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Threads that wait give their core away. Else two lessons on the same cores wait for each other
    # so busily that they take ten times as long.
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    with budget.Loop() as loop:
        run = colab.run(lesson, tmp_path, store)
    found = {"cpu_seconds": run.cpu_seconds, "memory": run.memory, "loop": loop.seconds}
    notebooks.write(ROOT / "build" / "lessons" / f"{lesson.stem}.json", json.dumps(found))
    assert run.well, run.text
    # Nothing that was there has been installed again, torch and numpy least of all.
    assert [name.split("-")[0] for name in run.installed] == ["course_utils", "course_utils"]
    wrong = list(budget.complaints(lesson.stem, run, loop.seconds, budget.budget()))
    assert not wrong, "\n".join(wrong)


def a_lesson(folder: Path, *sources: str, outputs: tuple[str, ...] = ()) -> Path:
    """A notebook that begins as the lessons do."""
    install = "import importlib.util\n\nif importlib.util.find_spec('course_utils') is None:\n"
    install += f"    {links.home(ROOT).install()}\nimport course_utils"
    cells = [new_code_cell(install, metadata={"tags": ["nbval-ignore-output"]})]
    cells += map(new_code_cell, sources)
    for cell, text in zip(cells[1:], outputs, strict=False):
        cell.outputs = [new_output("stream", name="stdout", text=text)]
    for number, cell in enumerate(cells, 1):
        cell.execution_count = number
    path = folder / "00_try.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.mark.slow
def test_colab_run_uses_what_the_lesson_installed(store: Path, tmp_path: Path) -> None:
    where = "import sys, google.colab\nfrom pathlib import Path\n"
    where += "print(Path(course_utils.__file__).is_relative_to(sys.prefix))"
    data = "from course_utils import datasets\nprint(len(datasets.load_languages()))"
    alone = "print(sorted(p.name for p in Path.cwd().iterdir()))"
    stored = ("True\n", "4\n", "['00_try.ipynb']\n")
    run = colab.run(a_lesson(tmp_path, where, data, alone, outputs=stored), tmp_path / "run", store)
    assert run.well, run.text
    assert run.seconds > 0
    if sys.platform != "win32":
        assert run.cpu_seconds > 1 and 0.01 < run.memory < 4


@pytest.mark.slow
def test_colab_run_tells_what_is_wrong(store: Path, tmp_path: Path) -> None:
    cells = ["print(1)", "raise OSError('gone')"]
    cells += ["import google.colab\ngoogle.colab.drive.mount('/x')", "print('as it was')"]
    lesson = a_lesson(tmp_path, *cells, outputs=("2\n", "", "", "as it was\n"))
    run = colab.run(lesson, tmp_path / "run", store)
    assert not run.well
    assert "outputs differ" in run.text
    assert "gone" in run.text
    assert "AttributeError" in run.text  # what only Colab has
    assert "3 failed, 2 passed" in run.text


@pytest.mark.slow
def test_colab_run_needs_the_right_address(store: Path, tmp_path: Path) -> None:
    lesson = a_lesson(tmp_path)
    lesson.write_text(lesson.read_text().replace("@v", "@no-such-tag-v"))
    assert not colab.run(lesson, tmp_path / "run", store).well


def a_run(cpu_seconds: float | None, memory: float | None) -> colab.Run:
    return colab.Run(True, "", [], 100.0, cpu_seconds, memory)


LIMITS = {"01_a": {"seconds": 91, "cpu_seconds": 100, "memory": 1.0, "loop": 0.1}}


@pytest.mark.parametrize(
    ("run", "loop", "told"),
    [
        (a_run(149, 1.4), 0.1, []),
        (a_run(290, 1.4), 0.2, []),  # a machine, or an hour, that is half as fast
        (a_run(None, None), 0.1, []),  # Windows
        (a_run(151, 1.4), 0.1, ["01_a: 151 processor seconds, at most 150"]),
        (a_run(80, 1.4), 0.05, ["01_a: 80 processor seconds, at most 75"]),
        (a_run(100, 1.6), 0.1, ["01_a: 1.6 GB of memory, at most 1.5"]),
    ],
)
def test_budget_is_held_to(run: colab.Run, loop: float, told: list[str]) -> None:
    assert list(budget.complaints("01_a", run, loop, LIMITS)) == told


def test_budget_of_a_new_lesson_is_missed() -> None:
    assert list(budget.complaints("07_b", a_run(1, 1), 0.1, LIMITS)) == [
        "07_b has no budget: make budget"
    ]


def test_every_lesson_has_a_budget_and_the_readme_says_it() -> None:
    limits = budget.budget()
    assert sorted(limits) == [path.stem for path in LESSONS]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert budget.with_figures(readme, limits) == readme


def test_readme_takes_the_figures() -> None:
    row = "| 1 | [A](notebooks/01_a.ipynb) | Why? | 60 min | 70 s | 0.5 GB | x |\n"
    assert budget.with_figures(row, LIMITS) == row.replace("70 s | 0.5", "100 s | 1.0")


def test_loop_is_timed_while_something_else_runs() -> None:
    latest = time.monotonic() + 60
    with budget.Loop(pause=0.01) as loop:
        while len(loop.tries) < 3 and time.monotonic() < latest:
            time.sleep(0.01)
    assert len(loop.tries) >= 3
    assert 0.005 < min(loop.tries) <= loop.seconds <= max(loop.tries) < 5
