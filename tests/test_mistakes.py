"""The lists of planted mistakes fit the package, and the tool that plants them can be trusted."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, load_tool

tool = load_tool("mistakes")
MISTAKES = tool.read_mistakes(ROOT / "tests" / "mistakes")
# Every module of these names needs a mistake; so does each file in the rooms.
LESSON_CODE = {
    "attention",
    "batching",
    "blocks",
    "cache",
    "checkpoints",
    "decoding",
    "distributed",
    "embeddings",
    "fine_tuning",
    "label_curves",
    "losses",
    "masking",
    "masks",
    "metrics",
    "optimizers",
    "pictures",
    "prompts",
    "recurrent",
    "rollout",
    "sampling",
    "schedules",
    "sentences",
    "training",
    "translator",
}
ROOMS = ("models", "pretrained", "tokenizers")


def without(mistakes, package):
    """Modules of lesson code that no mistake is planted in."""
    files = {f"course_utils/{name}.py" for name in LESSON_CODE}
    rooms = [f for room in ROOMS for f in (package / room).glob("*.py")]
    files |= {f"course_utils/{f.parent.name}/{f.name}" for f in rooms if f.stem != "__init__"}
    return sorted(files - {mistake.file for mistake in mistakes})


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_mistake_fits_its_file_and_compiles(mistake):
    right = (ROOT / mistake.file).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(mistake.planted(right))) != ast.dump(ast.parse(right))


def test_mistakes_have_names_of_their_own():
    names = [str(mistake) for mistake in MISTAKES]
    assert len(set(names)) == len(names) > 60


def test_mistakes_name_tests_that_exist():
    for test in {test for mistake in MISTAKES for test in mistake.tests}:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), test


def test_every_module_of_lesson_code_has_a_mistake(tmp_path):
    assert without(MISTAKES, ROOT / "course_utils") == []
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "newcomer.py").touch()
    assert without(MISTAKES, tmp_path) == ["course_utils/models/newcomer.py"]


def test_old_text_that_is_not_there_once_is_an_error():
    mistake = tool.Mistake("name", "course_utils/a.py", ("tests/test_a.py",), "x", "y")
    assert mistake.planted("x = 1") == "y = 1"
    for text in ("", "x = x"):
        with pytest.raises(ValueError, match=r"a\.py: name: its old text stands \d times"):
            mistake.planted(text)


@pytest.mark.parametrize("text", ["name\n+ new", "name\n- old\nnew", "name only"])
def test_paragraph_that_is_no_mistake_is_an_error(text, tmp_path):
    (tmp_path / "a.txt").write_text(f"file: course_utils/a.py\ntests: test_a\n\n{text}\n")
    with pytest.raises(ValueError, match=r"a\.txt: this is no mistake"):
        tool.read_mistakes(tmp_path)


LIST = """# A list.

file: course_utils/sums.py
tests: test_sums

minus for plus
- a + b
+ a - b

the other order
- return a + b
+ return b + a

cannot be imported
- def add
+ import nothing_of_this_name
+ 
+ 
+ def add
"""


def made_up(folder: Path, test: str = "assert add(1, 2) == 3", lists: str = LIST) -> Path:
    """A small repository."""
    for name, text in {
        "course_utils/__init__.py": "",
        "course_utils/sums.py": "def add(a, b):\n    return a + b\n",
        "tests/test_sums.py": f"from course_utils.sums import add\ndef test_add():\n    {test}\n",
        "tests/mistakes/sums.txt": lists,
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow']\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run_tool(root: Path, *words: str) -> subprocess.CompletedProcess:
    """The script on another repository than this one, which stays out of the import path."""
    command = [
        sys.executable,
        ROOT / "tools" / "mistakes.py",
        "--root",
        root,
        "--jobs",
        "2",
        *words,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_tool_tells_caught_from_not_caught_and_from_broken(tmp_path):
    root = made_up(tmp_path)
    files = {file: file.read_bytes() for file in root.rglob("*.*") if file.is_file()}
    run = run_tool(root)
    lines = run.stdout.splitlines()
    assert run.returncode == 1, run.stdout + run.stderr
    (caught,) = [line for line in lines if "minus for plus" in line]
    assert caught.startswith("caught ") and caught.endswith("| tests/test_sums.py::test_add")
    (other,) = [line for line in lines if "the other order" in line]
    assert other.startswith("NOT CAUGHT ") and other.endswith("| tests/test_sums.py passed")
    (broken,) = [line for line in lines if "cannot be imported" in line]
    assert broken.startswith("NOT CAUGHT ") and "broke outside of a test" in broken
    assert lines[-1].startswith("1 of 3 mistakes are caught")
    assert {file: file.read_bytes() for file in root.rglob("*.*") if file.is_file()} == files


@pytest.mark.slow
def test_tool_chooses_by_words_and_is_content_when_all_are_caught(tmp_path):
    run = run_tool(made_up(tmp_path), "SUMS.py", "minus")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].startswith("1 of 1 mistakes are caught")


@pytest.mark.slow
def test_tool_does_not_judge_by_tests_that_fail_anyway(tmp_path):
    run = run_tool(made_up(tmp_path, test="assert add(1, 2) == 4"))
    assert run.returncode == 2
    assert (
        "tests/test_sums.py fails without any mistake: tests/test_sums.py::test_add" in run.stdout
    )
    assert "caught" not in run.stdout.lower()


def test_tool_refuses_a_list_that_does_not_fit(tmp_path):
    run = run_tool(made_up(tmp_path, lists=LIST.replace("- a + b", "- a * b")))
    assert run.returncode == 2
    assert "sums.py: minus for plus: its old text stands 0 times" in run.stdout
    assert "no mistake has these words" in run_tool(tmp_path, "unicorn").stderr
