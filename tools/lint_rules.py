"""What must hold in a stored lesson, whatever it teaches: runs, outputs, pictures, code.

Each rule is a function from a notebook to complaints: the number of the cell that is meant, counted
from 1, or None for the whole notebook, and what is wrong. `make lint` applies them (tools/lint.py).
How a lesson is built up is checked in lint_structure.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from notebooks import KERNEL, WIDGET

Complaint = tuple[int | None, str]

PICTURES = {"image/png", "image/jpeg", "image/svg+xml"}
ABSOLUTE = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|Users|opt|mnt|usr|var)/[\w.-]+|\b[A-Z]:\\\w"
)
MEDIAN_LINES, P90_LINES, MOST_LINES = 6, 15, 25
SLIDES = {"slide", "subslide", "fragment", "skip", "notes", "-"}


def text_of(part: str | list[str]) -> str:
    """A notebook's text, which is stored as a string or as a list of lines."""
    return "".join(part)


def source(cell: dict) -> str:
    """A cell's text."""
    return text_of(cell["source"])


def code_cells(book: dict) -> Iterator[tuple[int, dict]]:
    """Each code cell that holds code, and its number."""
    for number, cell in enumerate(book["cells"], 1):
        if cell["cell_type"] == "code" and source(cell).strip():
            yield number, cell


def tags(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell["metadata"].get("tags", [])


def slide_type(cell: dict) -> str:
    """What a cell is in the slides; "-" goes on with the slide before."""
    return cell["metadata"].get("slideshow", {}).get("slide_type", "-")


def code_lines(cell: dict) -> list[str]:
    """A cell's lines, empty ones left out."""
    return [line for line in source(cell).splitlines() if line.strip()]


def output_text(output: dict) -> str:
    """What can be read in an output, pictures left out."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    parts += [t for kind, t in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(map(text_of, parts))


def one_run_rule(book: dict) -> Iterator[Complaint]:
    """The outputs come from one run, top to bottom, that ended well."""
    counts = [cell["execution_count"] for _, cell in code_cells(book)]
    if counts != list(range(1, len(counts) + 1)):
        yield None, "execution counts are not 1, 2, 3, ...: make notebooks"
    for number, cell in code_cells(book):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield number, "it holds an error: mend it, then make notebooks"
            if output.get("name") == "stderr":
                yield number, f"it holds text on stderr: {output_text(output)[:60].strip()}"
        if not cell["outputs"] and prints(source(cell)):
            yield number, "it prints and has no output, nbval would compare nothing: make notebooks"


def prints(text: str) -> bool:
    """Whether a cell prints outside functions and conditions."""
    try:
        body = ast.parse(text).body
    except SyntaxError:  # magic
        return False
    calls = [node.value for node in body if isinstance(node, ast.Expr)]
    return any(isinstance(call, ast.Call) and ast.unparse(call.func) == "print" for call in calls)


def clean_rule(book: dict) -> Iterator[Complaint]:
    """Nothing is stored that belongs to one machine or one run."""
    if "widgets" in book["metadata"]:
        yield None, "widget state in the metadata: make notebooks"
    if (kernel := dict(book["metadata"].get("kernelspec", {}))) != KERNEL:
        yield None, f"the kernel is {kernel}, not {KERNEL}: make notebooks"
    for number, cell in enumerate(book["cells"], 1):
        if {"execution", "ExecuteTime"} & set(cell["metadata"]):
            yield number, "it holds the times of its run: make notebooks"
        outputs = cell.get("outputs", [])
        if any(WIDGET in output.get("data", {}) for output in outputs):
            yield number, "it holds a widget, which shows nothing without a kernel: make notebooks"
        whole = "\n".join([source(cell), *map(output_text, outputs)])
        if found := ABSOLUTE.search(whole):
            yield number, f"it names the absolute path {found[0]}"


def alt_rule(book: dict) -> Iterator[Complaint]:
    """Every picture has words for those who do not see it.

    Pictures that a cell draws take theirs from the output's metadata or the cell's metadata `alt`.
    """
    for number, cell in enumerate(book["cells"], 1):
        if cell["cell_type"] == "markdown":
            for picture in bare_pictures(source(cell)):
                yield number, f"no alternative text for {picture}: write ![words](...)"
        for output in cell.get("outputs", []):
            kinds = PICTURES & set(output.get("data", {}))
            told = [output["metadata"].get(kind, {}).get("alt") for kind in kinds]
            if kinds and not any([*told, cell["metadata"].get("alt")]):
                yield number, 'it draws a picture: add "alt": "words" to its metadata'


def bare_pictures(text: str) -> list[str]:
    """The pictures of a Markdown text that have no words, as they are written there."""
    named = re.compile(r"\balt\s*=\s*[\"']\s*[^\s\"']")
    found = re.findall(r"!\[\s*\]\([^)]*\)", text)
    return found + [tag for tag in re.findall(r"<img\b[^>]*>", text) if not named.search(tag)]


def size_rule(book: dict) -> Iterator[Complaint]:
    """Cells are short enough to be read in front of a class."""
    lines = {number: len(code_lines(cell)) for number, cell in code_cells(book)}
    if not lines:
        yield None, "it has no code"
        return
    ordered = sorted(lines.values())
    median, p90 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.9)]
    for number, count in lines.items():
        if count > MOST_LINES:
            yield number, f"it has {count} lines of code, at most {MOST_LINES}: cut it in two"
    if median > MEDIAN_LINES:
        yield None, f"the median code cell has {median} lines, at most {MEDIAN_LINES}"
    if p90 > P90_LINES:
        yield None, f"one code cell in ten has {p90} lines or more, at most {P90_LINES}"


def compared_rule(book: dict) -> Iterator[Complaint]:
    """Each output is compared by nbval, or the cell says with the one known tag that it is not."""
    for number, cell in code_cells(book):
        for tag in tags(cell):
            if "nbval" in tag.lower() and tag != "nbval-ignore-output":
                yield number, f"the tag {tag} is not 'nbval-ignore-output'"
        if re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_\w+", source(cell)):
            yield number, "a comment that nbval reads; use the tag"
        if "raises-exception" in tags(cell):
            yield number, "'raises-exception' passes when nothing is raised; use try and except"


def slides_rule(book: dict) -> Iterator[Complaint]:
    """The lesson can be shown as slides, with notes for the speaker."""
    for number, cell in enumerate(book["cells"], 1):
        kind = slide_type(cell)
        if kind not in SLIDES:
            yield number, f"slide_type is '{kind}', not one of {', '.join(sorted(SLIDES))}"
        heading = cell["cell_type"] == "markdown" and source(cell).startswith("## ")
        if heading and kind not in {"slide", "subslide", "skip"}:
            yield number, f"a section begins a slide or subslide or is skipped, here is '{kind}'"
    if slide_type(book["cells"][0]) != "slide":
        yield 1, "the title is no slide: set its slide_type to 'slide'"
    if not any(slide_type(cell) == "notes" for cell in book["cells"]):
        yield (
            None,
            "no cell is of slide_type 'notes': say what to ask the hall",
        )


RULES = [one_run_rule, clean_rule, alt_rule, size_rule, compared_rule, slides_rule]
