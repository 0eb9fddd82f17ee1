"""What a learner has done is kept, shown, and never lost: `course_utils.exercises.progress`."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from filelock import FileLock

from course_utils.exercises import check, progress
from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.checking import LESSONS, exercises

# The package exports a function of the module's name.
module = importlib.import_module("course_utils.exercises.progress")
record = module.record


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Each test works in an empty folder, outside of Jupyter, and has not been told anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    module._say_once.cache_clear()
    yield module
    module._say_once.cache_clear()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the environment names."""
    path = tmp_path / "kept" / "mine.json"
    path.parent.mkdir()
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    return path


def entries(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def visible(folder: Path) -> list[str]:
    """The files of a folder; some systems leave the lock behind, hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def states(lesson: str) -> list[str]:
    return [row[-1] for row in progress(lesson).cells]


def stub(*inputs):
    raise NotImplementedError


def wrong(*inputs):
    return None


# ---- what is written, and where


def test_nothing_is_written_outside_of_jupyter(tmp_path: Path) -> None:
    check("04.1", solutions.bits_per_byte)
    check("04.1", wrong)
    assert list(tmp_path.iterdir()) == []
    assert states("04") == ["not attempted"] * 5


@pytest.mark.parametrize(
    ("shell", "expected"),
    [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)],
    ids=["no shell", "a terminal", "a kernel"],
)
def test_only_a_kernel_is_a_kernel(
    shell: object, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert module._in_kernel() is expected
    record("04.1", True)
    assert Path("progress.json").exists() is expected


@pytest.mark.parametrize("folder", ["notebooks", "exercises"])
def test_lessons_and_exercises_share_one_file(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("notebooks", "exercises"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setattr(module, "_in_kernel", lambda: True)
    check("04.1", solutions.bits_per_byte)
    assert entries(tmp_path / "notebooks" / "progress.json") == {
        "04.1": {"passed": True, "tries": 1}
    }
    assert not (tmp_path / "exercises" / "progress.json").exists()


def test_one_notebook_alone_keeps_it_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_in_kernel", lambda: True)
    record("04.1", False)
    assert visible(tmp_path) == ["progress.json"]


def test_check_prints_the_same_line_as_without(
    file: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [("04.1", stub), ("04.1", wrong), ("04.1", solutions.bits_per_byte), ("04.9", wrong)]
    for name, answer in answers:
        check(name, answer)
    with_file = capsys.readouterr().out
    monkeypatch.delenv("COURSE_PROGRESS")
    for name, answer in answers:
        check(name, answer)
    assert capsys.readouterr().out == with_file
    assert with_file.count("\n") == len(answers)


def test_stubs_and_unknown_names_write_nothing(file: Path) -> None:
    check("04.1", stub)
    check("04.9", wrong)
    check(None, wrong)
    assert list(file.parent.iterdir()) == []


def test_passed_stays_and_tries_are_counted(file: Path) -> None:
    check("04.1", wrong)
    assert states("04")[0] == "tried once"
    check("04.1", 3)
    assert states("04")[0] == "tried 2 times"
    check("04.1", solutions.bits_per_byte)
    before = file.read_bytes()
    check("04.1", wrong)
    check("04.1", stub)
    assert states("04")[0] == "passed"
    assert file.read_bytes() == before
    assert entries(file) == {"04.1": {"passed": True, "tries": 3}}


def test_strict_mode_writes_down_before_it_raises(file: Path) -> None:
    with pytest.raises(AssertionError):
        check("04.1", wrong, strict=True)
    assert states("04")[0] == "tried once"


def test_entries_of_another_version_stay(file: Path) -> None:
    other = {"07.1": {"passed": True, "tries": 2, "when": "later"}}
    file.write_text(json.dumps(other))
    record("04.1", False)
    assert entries(file) == {**other, "04.1": {"passed": False, "tries": 1}}


def test_notebooks_at_once_lose_nothing(file: Path, capsys: pytest.CaptureFixture) -> None:
    def learner(number: int) -> None:
        for exercise in range(6):
            record(f"{number:02d}.{exercise}", True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(learner, range(4)))
    assert len(entries(file)) == 24
    assert capsys.readouterr().out == ""


# ---- files that make no sense, folders that refuse

BROKEN = {
    "empty": b"",
    "cut off": b'{"04.1": {"passed": tr',
    "no UTF-8": b'{"\xff": 1}',
    "a list": b"[]",
    "no entries": b'{"04.1": true}',
    "no tries": b'{"04.1": {"passed": true}}',
    "odd tries": b'{"04.1": {"passed": true, "tries": "3"}}',
    "odd passed": b'{"04.1": {"passed": 1, "tries": 3}}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_damaged_file_is_kept_aside_and_a_new_one_begun(
    content: bytes, file: Path, capsys: pytest.CaptureFixture
) -> None:
    file.write_bytes(content)
    check("04.2", wrong)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and said[0].startswith("04.2 not yet")
    assert (
        said[1] == "mine.json was damaged: it is kept as mine.json.broken, and a new one is begun."
    )
    assert file.with_name("mine.json.broken").read_bytes() == content
    assert entries(file) == {"04.2": {"passed": False, "tries": 1}}


def test_progress_says_that_a_file_is_damaged(file: Path, capsys: pytest.CaptureFixture) -> None:
    file.write_bytes(b"{")
    assert states("04") == ["not attempted"] * 5
    assert capsys.readouterr().out.count("was damaged") == 1
    assert visible(file.parent) == ["mine.json.broken"]


def refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_PROGRESS", str(place))
    assert check("04.1", solutions.bits_per_byte).passed
    assert check("04.2", wrong).status == "not yet"


@pytest.mark.parametrize("place", ["a_file/progress.json", "."], ids=["in a file", "a folder"])
def test_refusal_is_one_line_and_no_error(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a_file").write_text("mine")
    refused(tmp_path / place, monkeypatch)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3 and said[1].startswith("Your progress is not kept in progress.json: ")
    assert "COURSE_PROGRESS" in said[1]
    progress("04")
    assert capsys.readouterr().out.startswith("Your progress cannot be read from")
    assert (tmp_path / "a_file").read_text() == "mine"


def test_folder_without_rights_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "progress.json").write_text('{"04.3": {"passed": true, "tries": 1}}')
    folder.chmod(0o500)
    try:
        (folder / "probe").touch()
    except PermissionError:
        refused(folder / "progress.json", monkeypatch)
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 3 and "Permission denied" in said[1]
        assert states("04")[2] == "passed"  # it can still be read
    else:
        pytest.skip("this user may write everywhere")
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_write_that_fails_leaves_the_old_file(
    failure: BaseException,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    record("04.1", True)
    before, write = file.read_bytes(), Path.write_text

    def half(path: Path, text: str, **options: str) -> None:
        write(path, text[: len(text) // 2], **options)
        raise failure

    monkeypatch.setattr(Path, "write_text", half)
    if isinstance(failure, OSError):
        record("04.2", True)
        assert "the disk is full" in capsys.readouterr().out
    else:
        with pytest.raises(KeyboardInterrupt):
            record("04.2", True)
    assert file.read_bytes() == before
    assert visible(file.parent) == ["mine.json"]


def test_another_notebook_that_holds_the_file_is_not_waited_for_long(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    with FileLock(file.with_name(".mine.json.lock")):
        record("04.1", True)
        assert capsys.readouterr().out.startswith("Your progress is not kept in")
    record("04.1", True)
    assert entries(file)["04.1"]["passed"]


def test_working_folder_that_is_gone_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def gone() -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(module, "_in_kernel", lambda: True)
    monkeypatch.setattr(Path, "cwd", gone)
    record("04.1", True)
    assert "No such file or directory" in capsys.readouterr().out
    assert states("04") == ["not attempted"] * 5


# ---- what is shown


def test_table_of_a_lesson_counts_and_names(file: Path) -> None:
    for name, passed in (("04.1", True), ("04.2", False), ("04.5", True), ("01.1", True)):
        record(name, passed)
    shown = progress("04")
    assert shown.caption == "Lesson 04: 2 of 5 passed"
    assert shown.names == ["exercise", "title", "state"]
    assert shown.cells[1] == ["04.2", "The loss of the next token", "tried once"]
    assert states("04") == ["passed", "tried once", "not attempted", "not attempted", "passed"]
    assert "<caption>Lesson 04: 2 of 5 passed</caption>" in shown._repr_html_()


def test_table_of_all_lessons_has_a_sum_for_each(file: Path) -> None:
    record("01.1", True)
    record("06.5", True)
    shown = progress()
    names = [exercise.name for lesson in LESSONS for exercise in exercises(lesson)]
    assert [row[1] for row in shown.cells] == names
    assert [row[0] for row in shown.cells if row[0]] == [
        f"{lesson}: {int(lesson in ('01', '06'))} of 5 passed" for lesson in LESSONS
    ]
    assert shown.caption == "All lessons: 2 of 30 passed"


def test_lesson_may_be_a_number_and_a_wrong_one_is_named(file: Path) -> None:
    assert repr(progress(4)) == repr(progress("4")) == repr(progress("04"))
    for odd in ("9", 0, "04.1", ""):
        with pytest.raises(ValueError, match=r"there is no lesson .*, only 01, 02, 03"):
            progress(odd)
