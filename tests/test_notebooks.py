"""The lessons as files: what must hold before any cell is run. In `make test` nbval runs them too.

Each rule is a function from a notebook to a list of complaints. It is applied to the lessons, and
to small wrong notebooks, so that it is seen to fail.
"""

from __future__ import annotations

import ast
import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, load_tool
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURES = {"image/png", "image/jpeg", "image/svg+xml"}
ABSOLUTE = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|Users|opt|mnt|usr|var)/[\w.-]+|\b[A-Z]:\\\w"
)
MEDIAN_LINES, P90_LINES, MOST_LINES, SETUP_LINES = 6, 15, 25, 12
LARGEST_FILE = 1_500_000

tools = load_tool("notebooks")


def text_of(part: str | list[str]) -> str:
    """A notebook's text, which is stored as a string or as a list of lines."""
    return "".join(part)


def code_cells(book: dict) -> Iterator[tuple[int, dict]]:
    """Each code cell that holds code, and its number."""
    for number, cell in enumerate(book["cells"]):
        if cell["cell_type"] == "code" and text_of(cell["source"]).strip():
            yield number, cell


def tags(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell["metadata"].get("tags", [])


def output_text(output: dict) -> str:
    """What can be read in an output, pictures left out."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    parts += [t for kind, t in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(map(text_of, parts))


def one_run_rule(book: dict) -> list[str]:
    """The outputs come from one run, top to bottom, that ended well."""
    wrong = []
    counts = [cell["execution_count"] for _, cell in code_cells(book)]
    if counts != list(range(1, len(counts) + 1)):
        wrong.append("execution counts are not 1, 2, 3, ...: make notebooks")
    for number, cell in code_cells(book):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                wrong.append(f"cell {number} holds an error")
            if output.get("name") == "stderr":
                wrong.append(f"cell {number} holds text on stderr: {output_text(output)[:60]}")
        if not cell["outputs"] and prints(text_of(cell["source"])):
            wrong.append(f"cell {number} prints and has no output: nbval would compare nothing")
    return wrong


def prints(source: str) -> bool:
    """Whether a cell prints outside functions and conditions."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # magic
        return False
    calls = [node.value for node in body if isinstance(node, ast.Expr)]
    return any(isinstance(call, ast.Call) and ast.unparse(call.func) == "print" for call in calls)


def clean_rule(book: dict) -> list[str]:
    """Nothing is stored that belongs to one machine or one run."""
    wrong = ["widget state in the metadata"] if "widgets" in book["metadata"] else []
    if dict(book["metadata"].get("kernelspec", {})) != tools.KERNEL:
        wrong.append(f"the kernel is {book['metadata'].get('kernelspec')}, not {tools.KERNEL}")
    for number, cell in enumerate(book["cells"]):
        if {"execution", "ExecuteTime"} & set(cell["metadata"]):
            wrong.append(f"cell {number} holds the times of its run")
        outputs = cell.get("outputs", [])
        if any(WIDGET in output.get("data", {}) for output in outputs):
            wrong.append(f"cell {number} holds a widget, which shows nothing without a kernel")
        whole = "\n".join([text_of(cell["source"]), *map(output_text, outputs)])
        if found := ABSOLUTE.search(whole):
            wrong.append(f"cell {number} names the absolute path {found[0]}")
    return wrong


def alt_rule(book: dict) -> list[str]:
    """Every picture has words for those who do not see it.

    Pictures that a cell draws take theirs from the output's metadata or the cell's metadata `alt`.
    """
    wrong = []
    for number, cell in enumerate(book["cells"]):
        source = text_of(cell["source"])
        if cell["cell_type"] == "markdown":
            bare = re.findall(r"!\[\s*\]\([^)]*\)", source)
            bare += [
                tag
                for tag in re.findall(r"<img\b[^>]*>", source)
                if not re.search(r"\balt\s*=\s*[\"']\s*[^\s\"']", tag)
            ]
            wrong += [f"cell {number}: no alternative text for {picture}" for picture in bare]
        for output in cell.get("outputs", []):
            kinds = PICTURES & set(output.get("data", {}))
            told = [output["metadata"].get(kind, {}).get("alt") for kind in kinds]
            if kinds and not any([*told, cell["metadata"].get("alt")]):
                wrong.append(f"cell {number}: no `alt` in its metadata for the picture it draws")
    return wrong


def size_rule(book: dict) -> list[str]:
    """Cells are short enough to be read in front of a class."""
    lines = {
        number: sum(bool(line.strip()) for line in text_of(cell["source"]).splitlines())
        for number, cell in code_cells(book)
    }
    if not lines:
        return ["it has no code"]
    ordered = sorted(lines.values())
    median, p90 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.9)]
    wrong = [
        f"cell {number} has {count} lines of code, at most {MOST_LINES}"
        for number, count in lines.items()
        if count > MOST_LINES
    ]
    if median > MEDIAN_LINES:
        wrong.append(f"the median code cell has {median} lines, at most {MEDIAN_LINES}")
    if p90 > P90_LINES:
        wrong.append(f"one code cell in ten has {p90} lines or more, at most {P90_LINES}")
    return wrong


def form_rule(book: dict) -> list[str]:
    """The title comes first, then one set-up cell, and one cell holds the parameters."""
    wrong = []
    first = book["cells"][0]
    if first["cell_type"] != "markdown" or not text_of(first["source"]).startswith("# "):
        wrong.append("the first cell is not the title")
    tagged = [number for number, cell in code_cells(book) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        wrong.append(f"{len(tagged)} cells are tagged 'parameters', there must be one")
    number, setup = next(code_cells(book), (0, {"source": ""}))
    lines = [line for line in text_of(setup["source"]).splitlines() if line.strip()]
    if "course_utils" not in "\n".join(lines) or len(lines) > SETUP_LINES:
        wrong.append(
            f"cell {number}: the set-up imports course_utils in {SETUP_LINES} lines or less"
        )
    return wrong


def compared_rule(book: dict) -> list[str]:
    """Each output is compared by nbval, or the cell says with the one known tag that it is not."""
    wrong = []
    for number, cell in code_cells(book):
        odd = [tag for tag in tags(cell) if "nbval" in tag.lower() and tag != "nbval-ignore-output"]
        wrong += [f"cell {number}: the tag {tag} is not 'nbval-ignore-output'" for tag in odd]
        if re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_\w+", text_of(cell["source"])):
            wrong.append(f"cell {number}: a comment that nbval reads; use the tag")
        if "raises-exception" in tags(cell):
            wrong.append(
                f"cell {number}: 'raises-exception' passes when nothing is raised; use try"
            )
    return wrong


RULES = [one_run_rule, clean_rule, alt_rule, size_rule, form_rule, compared_rule]


@pytest.mark.notebook
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_lesson_keeps(file: Path, rule: Callable[[dict], list[str]]) -> None:
    wrong = rule(json.loads(file.read_text(encoding="utf-8")))
    assert not wrong, "\n".join(wrong)


@pytest.mark.notebook
@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_lesson_is_a_valid_small_file(file: Path) -> None:
    nbformat.validate(nbformat.read(file, as_version=4))
    assert file.stat().st_size <= LARGEST_FILE
    assert b"\r" not in file.read_bytes()


def test_lessons_are_numbered_from_one() -> None:
    names = [file.name for file in LESSONS]
    numbers = [int(match[1]) for name in names if (match := re.match(r"(\d\d)_[a-z0-9_]+\.", name))]
    assert numbers == list(range(1, len(names) + 1)), names


def good_book() -> dict:
    """A small lesson that keeps every rule."""
    picture = new_output("display_data", {"image/png": "aGk="}, metadata={})
    words = new_output("stream", name="stdout", text="2\n")
    cells = [
        new_markdown_cell("# A lesson\n\n![a line](line.png) <img src='x.png' alt='a dot'>"),
        new_code_cell("from course_utils import masks", execution_count=1),
        new_code_cell("steps = 3", execution_count=2, metadata={"tags": ["parameters"]}),
        new_code_cell("print(2)", execution_count=3, outputs=[words]),
        new_code_cell("draw()", execution_count=4, outputs=[picture], metadata={"alt": "a dot"}),
        new_code_cell("x = 1", execution_count=5, metadata={"tags": ["nbval-ignore-output"]}),
        new_code_cell("", execution_count=None),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": dict(tools.KERNEL)})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts(rule: Callable[[dict], list[str]]) -> None:
    assert rule(good_book()) == []


def a_stream(name: str, text: str) -> dict:
    return new_output("stream", name=name, text=text)


def tagged(*words: str) -> dict:
    return {"tags": list(words)}


PNG = {"image/png": "aGk="}
HOME = "/" + "home/ann/x.txt"
# The rule, the cell to change, what to change in it, and a piece of the complaint.
WRONG = {
    "count": (one_run_rule, 3, {"execution_count": 7}, "1, 2, 3"),
    "never run": (one_run_rule, 3, {"execution_count": None}, "1, 2, 3"),
    "error": (
        one_run_rule,
        3,
        {"outputs": [new_output("error", ename="E", evalue="", traceback=[])]},
        "holds an error",
    ),
    "stderr": (one_run_rule, 3, {"outputs": [a_stream("stderr", "UserWarning")]}, "stderr"),
    "no output": (one_run_rule, 3, {"outputs": []}, "prints and has no output"),
    "times": (clean_rule, 3, {"metadata": {"execution": {"shell.execute_reply": ""}}}, "times"),
    "widget": (clean_rule, 3, {"outputs": [new_output("display_data", {WIDGET: {}})]}, "widget"),
    "path": (clean_rule, 3, {"outputs": [a_stream("stdout", HOME)]}, "absolute path"),
    "path in code": (clean_rule, 3, {"source": f"open('{HOME}')"}, "absolute path"),
    "path, Windows": (clean_rule, 3, {"source": "open('C:\\Users')"}, "absolute path"),
    "alt": (alt_rule, 0, {"source": "![](line.png)"}, "no alternative text"),
    "alt, tag": (alt_rule, 0, {"source": "<img src='x.png'>"}, "no alternative text"),
    "alt, empty": (alt_rule, 0, {"source": "<img alt='' src='x'>"}, "no alternative text"),
    "alt, drawn": (alt_rule, 4, {"metadata": {}}, "no `alt`"),
    "alt, result": (alt_rule, 5, {"outputs": [new_output("display_data", PNG)]}, "no `alt`"),
    "long": (size_rule, 3, {"source": "x = 1\n" * 26}, "26 lines"),
    "p90": (size_rule, 3, {"source": "x = 1\n" * 16}, "one code cell in ten"),
    "title": (form_rule, 0, {"source": "A lesson"}, "title"),
    "no parameters": (form_rule, 2, {"metadata": {}}, "0 cells are tagged"),
    "two": (form_rule, 3, {"metadata": tagged("parameters")}, "2 cells are tagged"),
    "setup": (form_rule, 1, {"source": "import course_utils\n" * 13}, "12 lines"),
    "setup, other": (form_rule, 1, {"source": "import torch"}, "course_utils"),
    "tag": (compared_rule, 5, {"metadata": tagged("nbval_ignore_output")}, "nbval_ignore"),
    "skip": (compared_rule, 5, {"metadata": tagged("nbval-skip")}, "nbval-skip"),
    "raises": (compared_rule, 5, {"metadata": tagged("raises-exception")}, "use try"),
    "comment": (compared_rule, 5, {"source": "# NBVAL_IGNORE_OUTPUT\nx = 1"}, "use the tag"),
}


@pytest.mark.parametrize("case", WRONG)
def test_rule_rejects(case: str) -> None:
    rule, number, change, complaint = WRONG[case]
    book = good_book()
    book["cells"][number].update(copy.deepcopy(change))
    assert any(complaint in line for line in rule(book)), rule(book)


def test_rule_rejects_the_whole_book() -> None:
    book = good_book()
    book["metadata"] = {"widgets": {}, "kernelspec": {"name": "mine"}}
    assert len(clean_rule(book)) == 2
    book = new_notebook(cells=[new_code_cell("x = 1\n" * 7, execution_count=1)])
    assert size_rule(book) == ["the median code cell has 7 lines, at most 6"]
    assert size_rule(new_notebook()) == ["it has no code"]


# The tool behind `make run` and `make notebooks`.


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
    assert one_run_rule(book) == clean_rule(book) == []
    assert output_text(book["cells"][3]["outputs"][0]) == "below\n"
    assert [PNG.keys() <= out["data"].keys() for out in book["cells"][2]["outputs"]] == [True]
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


def test_parameters_are_set_as_python_or_as_words() -> None:
    book = good_book()
    tools.set_parameters(book, {"steps": "5"})
    assert book.cells[3].source == "steps = 5"
    book = good_book()
    tools.set_parameters(book, {"steps": "../data"})
    assert book.cells[3].source == "steps = '../data'"
    with pytest.raises(tools.LessonError, match=r"no parameter speed; it has \['steps'\]"):
        tools.set_parameters(good_book(), {"speed": "5"})


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
