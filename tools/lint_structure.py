"""How a lesson is built up: title, box, set-up, story, exercises, misconceptions, summary.

Each rule is a function from a notebook to complaints, as in lint_rules.py. The order is that of
CONTRIBUTING.md, "Add a lesson".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lint_rules import PICTURES, Complaint, code_cells, code_lines, source, tags

BOX = ("You will be able to", "You need", "Time")
KINDS = ("Warm-up", "Core", "Stretch", "Open-ended")
SETUP_LINES = 12
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def headings(book: dict) -> Iterator[tuple[int, int, str]]:
    """Each heading: the number of its cell, its level and its words."""
    for number, cell in enumerate(book["cells"], 1):
        if cell["cell_type"] == "markdown":
            for marks, words in re.findall(r"^(#+) +(.*)", FENCE.sub("", source(cell)), re.M):
                yield number, len(marks), words.strip()


def sections(book: dict) -> dict[str, list[tuple[int, dict]]]:
    """The cells below each heading `##`, the heading's own cell first, with their numbers."""
    starts = [(number, words) for number, level, words in headings(book) if level == 2]
    stops = [number for number, _ in starts[1:]] + [len(book["cells"]) + 1]
    numbered = list(enumerate(book["cells"], 1))
    return {
        words: numbered[start - 1 : stop - 1]
        for (start, words), stop in zip(starts, stops, strict=True)
    }


def title_rule(book: dict) -> Iterator[Complaint]:
    """The first cell holds title, question and picture; the second is the box."""
    title = source(book["cells"][0])
    if book["cells"][0]["cell_type"] != "markdown" or not title.startswith("# "):
        yield 1, "the first cell is not the title: '# Lesson ...'"
    if not re.search(r"^\*\*[^*]*\?[^*]*\*\*$", title, re.M):
        yield 1, "no question in bold, in a paragraph of its own, below the title"
    if not re.search(r"!\[[^\]]+\]\([^)]+\)", title):
        yield 1, "no picture that answers the question"
    box = source(book["cells"][1]) if len(book["cells"]) > 1 else ""
    missing = [row for row in BOX if not re.search(rf"^\| \*\*{row}\*\* \| .+ \|$", box, re.M)]
    if missing:
        yield 2, f"the second cell is the box; it has no row {', '.join(missing)}"


def setup_rule(book: dict) -> Iterator[Complaint]:
    """`## Set-up`, the set-up cell and the parameters follow the box, in this order."""
    cells = [*book["cells"][2:5], *[{"source": "", "metadata": {}}] * 3]
    if not source(cells[0]).startswith("## Set-up\n"):
        yield 3, "after the box comes '## Set-up' with the badge"
    for place, tag in ((1, "setup"), (2, "parameters")):
        tagged = [k for k, cell in enumerate(book["cells"], 1) if tag in tags(cell)]
        if len(tagged) != 1:
            yield None, f"{len(tagged)} cells are tagged '{tag}', there must be one"
        elif tag not in tags(cells[place]):
            yield tagged[0], f"the cell tagged '{tag}' must be cell {place + 3}, after '## Set-up'"
    lines = code_lines(cells[1])
    if "course_utils" not in "\n".join(lines) or len(lines) > SETUP_LINES:
        yield 4, f"the set-up imports course_utils in {SETUP_LINES} lines or less"


def setup_beginning(book: dict) -> list[str]:
    """The lines of the set-up cell that install the course; the same in every lesson."""
    cells = [cell for _, cell in code_cells(book) if "setup" in tags(cell)]
    lines = code_lines(cells[0]) if cells else []
    installs = [k for k, line in enumerate(lines, 1) if line.strip().startswith("%pip install")]
    return lines[: installs[0]] if installs else []


def headings_rule(book: dict) -> Iterator[Complaint]:
    """One title; no level is skipped; the last sections come in their order."""
    before = 0
    for number, level, words in headings(book):
        if level > before + 1:
            yield number, f"'{'#' * level} {words}' comes below level {before}: a level is skipped"
        if level == 1 and number > 1:
            yield number, f"a second title, '# {words}'"
        before = level
    names = [words for _, level, words in headings(book) if level == 2]
    if len(set(names)) < len(names):
        yield None, "two sections have one name"
    last = [re.sub(r"^\w+ misconceptions$", "Misconceptions", name) for name in names[-3:]]
    if last != ["Exercises", "Misconceptions", "Summary"]:
        yield None, f"the last sections are {last}, not Exercises, ... misconceptions, Summary"


def exercises_rule(book: dict) -> Iterator[Complaint]:
    """At least four exercises, three with a check, each a heading NN.k and a stub below."""
    kinds = "|".join(KINDS)
    cells = sections(book).get("Exercises", [])
    found: list[str] = []
    checked = set()
    for number, cell in cells:
        if heading := re.match(r"### (.*)", source(cell)):
            if named := re.match(rf"(\d\d\.\d) ({kinds}): \S", heading[1]):
                found.append(named[1])
            else:
                yield number, f"'{heading[1]}' is not 'NN.k Kind: name'; kinds are {kinds}"
        if "exercise" in tags(cell) and found:
            checked.add(found[-1])
            if "NotImplementedError" not in source(cell):
                yield number, "an exercise's stub raises NotImplementedError"
            if f'check("{found[-1]}", ' not in source(cell):
                yield number, f'the cell below {found[-1]} ends with check("{found[-1]}", ...)'
    numbers = [int(name[3:]) for name in found]
    if numbers != list(range(1, len(found) + 1)) or len({name[:2] for name in found}) > 1:
        yield None, f"the exercises are not numbered NN.1, NN.2, ...: {', '.join(found)}"
    if len(found) < 4 or len(checked) < 3:
        yield None, f"{len(found)} exercises, {len(checked)} with a check; at least 4 and 3"
    inside = {number for number, _ in cells}
    for number, cell in code_cells(book):
        if "exercise" in tags(cell) and number not in inside:
            yield number, "a cell tagged 'exercise' outside the section Exercises"


def end_rule(book: dict) -> Iterator[Complaint]:
    """Three misconceptions, each refuted by a cell that runs; reading; what came later."""
    named = [name for name in sections(book) if name.endswith("isconceptions")]
    count = 0
    for name in named:
        cells = sections(book)[name]
        starts = [k for k, (_, cell) in enumerate(cells) if refuted(source(cell))]
        count = len(starts)
        for k, stop in zip(starts, [*starts[1:], len(cells)], strict=True):
            if all(cell["cell_type"] != "code" for _, cell in cells[k:stop]):
                yield cells[k][0], "no cell runs that refutes this misconception"
    if count < 3:
        yield None, f"""{count} misconceptions, at least 3; each begins with **1. "..."**"""
    summary = sections(book).get("Summary", [(0, {"source": ""})])
    whole = "\n".join(source(cell) for _, cell in summary)
    if not re.search(r"^### What to read next\n", whole, re.M):
        yield None, "the summary has no '### What to read next'"
    if not re.search(r"^### What (changed since|came later)\n", whole, re.M):
        yield None, "the summary has no '### What changed since'"


def refuted(text: str) -> bool:
    """Whether a text begins a misconception: **1. "..."**."""
    return bool(re.search(r'^\*\*\d\. ".+"\*\*', text, re.M))


def widget_rule(book: dict) -> Iterator[Complaint]:
    """Before each interactive view there is a picture or table that needs no kernel."""
    for cells in sections(book).values():
        static = False
        for number, cell in cells:
            kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
            static |= bool(kinds & {*PICTURES, "text/html"})
            static |= cell["cell_type"] == "markdown" and "![" in source(cell)
            if "widget" in tags(cell) and not static:
                yield number, "a widget; its section shows no static picture before it"


RULES = [title_rule, setup_rule, headings_rule, exercises_rule, end_rule, widget_rule]
