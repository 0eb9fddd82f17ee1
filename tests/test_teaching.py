"""The teaching guides, docs/teaching/NN.md: what they say of their lesson must be so.

How a guide is written:

- The title `# Teaching lesson N: ...` and the four headings of `HEADINGS`, in this order.
- The table of the 90 minutes names sections by the text of their `##` headings in the lesson,
  joined by "; ", in the lesson's order. `**Live, 40 s**` marks a demonstration and its seconds,
  `**Hall, 5 min**` a pause in which the hall works.
- What stands in backticks after the word *prints* stands so in the lesson's stored outputs: prints
  `0.96`, or print `0.96` and `0.93`. When a new run of the lesson changed it, change the guide.
- 5 to 7 numbered questions: **the question**, then *Expect:*, *First comes:* and *Then say:*.
- The check says `words`: they are a part of a known mistake's hint in this lesson.
- The table of the homework: 2 to 4 tasks, each begins with the number of an exercise; one is the
  open one and names one of the lesson's parameters. A further row of a task has no first cell.

Each rule is a function from a guide and its lesson to a list of complaints. It is applied to the
guides, and to guides made wrong on purpose, so that it is seen to fail.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

from course_utils.exercises.checking import exercises

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HEADINGS = ["90 minutes", "Questions to ask", "What goes wrong", "Homework"]
MINUTES, POINTS, MOST_LINES = 90, 20, 140
TIMETABLE = ["minutes", "section", "show", "can go"]
MARKS = ["task", "what earns the points", "points"]
ANSWER = ["*Expect:*", "*First comes:*", "*Then say:*"]
QUOTED = re.compile(r"\bprints? ((?:`[^`]+`(?:,? and |,? then | against | to |, )?)+)")
HINTED = re.compile(r"the check says `([^`]+)`")
EXERCISE = re.compile(r"(?<![\d.])0\d\.\d(?!\.?\d)")


def one_line(text: str) -> str:
    """Every run of white space as one space."""
    return " ".join(text.split())


class Lesson:
    """What a guide may say of its lesson."""

    def __init__(self, path: Path) -> None:
        self.number = path.name[:2]
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        self.sections = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
        self.open = re.findall(r"^### (\d\d\.\d) Open-ended", text, flags=re.MULTILINE)
        self.outputs = one_line("\n".join(t for c in cells for t in printed(c)))
        knobs = next("".join(c["source"]) for c in cells if "parameters" in tags(c))
        self.parameters = [line.targets[0].id for line in ast.parse(knobs).body]
        checked = exercises(self.number)
        self.exercises = {exercise.name for exercise in checked} | set(self.open)
        self.hints = [one_line(m.hint) for exercise in checked for m in exercise.mistakes]


def tags(cell: dict) -> list[str]:
    """A cell's tags."""
    return cell["metadata"].get("tags", [])


def printed(cell: dict) -> Iterator[str]:
    """The texts that a cell has printed, tables among them."""
    for output in cell.get("outputs", []):
        yield "".join(output.get("text", output.get("data", {}).get("text/plain", "")))


lesson_of = cache(Lesson)


def guide_of(path: Path) -> str:
    """The guide to a lesson."""
    guide = ROOT / "docs" / "teaching" / f"{path.name[:2]}.md"
    assert guide.is_file(), f"{path.name} has no guide: write docs/teaching/{guide.name}"
    return guide.read_text(encoding="utf-8")


def part(guide: str, heading: str) -> str:
    """What stands under a heading of the guide."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", guide, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def rows(text: str, header: list[str]) -> list[dict[str, str]]:
    """The rows of the table with this header; none when there is no such table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if not cells or cells[0] != header or any(len(row) != len(header) for row in cells):
        return []
    return [dict(zip(header, row, strict=True)) for row in cells[2:]]


def amount(text: str) -> int:
    """The whole number in a cell; 0 when it is none."""
    return int(text) if text.isdecimal() else 0


def layout_rule(guide: str, lesson: Lesson) -> list[str]:
    """Title, headings, length."""
    wrong = []
    if not guide.startswith(f"# Teaching lesson {int(lesson.number)}: "):
        wrong.append(f'begins with "# Teaching lesson {int(lesson.number)}: ..."')
    if (found := re.findall(r"^## (.+)$", guide, re.MULTILINE)) != HEADINGS:
        wrong.append(f"its headings are {found}, not {HEADINGS}")
    if (length := len(guide.splitlines())) > MOST_LINES:
        wrong.append(f"{length} lines: at most {MOST_LINES}")
    return wrong


def minutes_rule(guide: str, lesson: Lesson) -> list[str]:
    """The minutes sum to 90; every section is one of the lesson; something happens live."""
    plan = rows(part(guide, HEADINGS[0]), TIMETABLE)
    wrong = [] if plan else [f"the plan is a table with the columns {TIMETABLE}"]
    if (total := sum(amount(row["minutes"]) for row in plan)) != MINUTES:
        wrong.append(f"the minutes sum to {total}, not {MINUTES}")
    named = [name for row in plan for name in row["section"].split("; ")]
    known = [name for name in named if name in lesson.sections]
    wrong += [f"the lesson has no section {name!r}" for name in named if name not in known]
    places = [lesson.sections.index(name) for name in known]
    if places != sorted(places):
        wrong.append("the sections stand in another order than in the lesson")
    shown = " ".join(row["show"] for row in plan)
    for what in (r"\*\*Live, \d+ s\*\*", r"\*\*Hall, \d+ min\*\*"):
        if not re.search(what, shown):
            wrong.append(f"nothing in the plan is marked {what}")
    return wrong


def printed_rule(guide: str, lesson: Lesson) -> list[str]:
    """What the lesson is said to print stands in its outputs."""
    quotes = [q for said in QUOTED.findall(one_line(guide)) for q in re.findall("`(.+?)`", said)]
    return [f"the lesson prints no `{quote}`" for quote in quotes if not stands_in(quote, lesson)]


def stands_in(quote: str, lesson: Lesson) -> bool:
    """Does the lesson print this, and not only as a part of a longer number?"""
    before = r"(?<![\d+-])(?<!\d[.,])" if quote[0].isdigit() else ""
    after = r"(?![.,]?\d)" if quote[-1].isdigit() else ""
    return bool(re.search(before + re.escape(quote) + after, lesson.outputs))


def questions_rule(guide: str, lesson: Lesson) -> list[str]:
    """5 to 7 questions, each with its three answers and a number of the lesson."""
    questions = re.split(r"^\d+\. ", part(guide, HEADINGS[1]), flags=re.MULTILINE)[1:]
    wrong = [] if 5 <= len(questions) <= 7 else [f"{len(questions)} questions: 5 to 7"]
    for number, question in enumerate(questions, 1):
        places = [question.find(mark) for mark in ANSWER]
        if not question.startswith("**") or -1 in places or places != sorted(places):
            wrong.append(f"question {number} is **bold**, then come {', '.join(ANSWER)}")
        if not QUOTED.search(one_line(question)):
            wrong.append(f"question {number} quotes nothing that the lesson prints")
    return wrong


def hints_rule(guide: str, lesson: Lesson) -> list[str]:
    """At least three hints are quoted, and the lesson's checks give them."""
    quotes = HINTED.findall(one_line(part(guide, HEADINGS[2])))
    wrong = [] if len(quotes) >= 3 else [f"{len(quotes)} hints of checks: at least 3"]
    known = " | ".join(lesson.hints)
    return wrong + [f"no check says {quote!r}" for quote in quotes if quote not in known]


def exercises_rule(guide: str, lesson: Lesson) -> list[str]:
    """Exercises that are named exist."""
    unknown = set(EXERCISE.findall(guide)) - lesson.exercises
    return [f"the lesson has no exercise {name}" for name in sorted(unknown)]


def homework_rule(guide: str, lesson: Lesson) -> list[str]:
    """2 to 4 tasks, the open one among them; 20 points."""
    marks = rows(part(guide, HEADINGS[3]), MARKS)
    wrong = [] if marks else [f"the homework is a table with the columns {MARKS}"]
    if (total := sum(amount(row["points"]) for row in marks)) != POINTS:
        wrong.append(f"the points sum to {total}, not {POINTS}")
    tasks = [row["task"] for row in marks if row["task"]]
    wrong += [] if 2 <= len(tasks) <= 4 else [f"{len(tasks)} tasks: 2 to 4"]
    wrong += [f"begins with no exercise: {t}" for t in tasks if t[:4] not in lesson.exercises]
    knobs = [name for t in tasks if t[:4] in lesson.open for name in re.findall("`(.+?)`", t)]
    if not set(knobs) & set(lesson.parameters):
        wrong.append(f"the open task {lesson.open} turns none of {lesson.parameters}")
    return wrong


Rule = Callable[[str, Lesson], list[str]]
RULES: list[Rule] = [
    *(layout_rule, minutes_rule, printed_rule, questions_rule),
    *(hints_rule, exercises_rule, homework_rule),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_guide_agrees_with_its_lesson(path: Path, rule: Rule):
    """Every lesson has a guide, and what it says is so."""
    assert rule(guide_of(path), lesson_of(path)) == []


def test_contents_link_to_every_guide():
    """The page about teaching leads to all guides."""
    page = (ROOT / "docs" / "teaching" / "index.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(([\w./-]+\.md)\)", page))
    assert {f"{path.name[:2]}.md" for path in LESSONS} <= links


# A rule, a pattern, what each match becomes, and the complaint.
WRONG: list[tuple[Rule, str, str, str]] = [
    (layout_rule, "# Teaching lesson 1", "# Teaching lesson 2", "begins with"),
    (layout_rule, "## What goes wrong", "### What goes wrong", "its headings are"),
    (layout_rule, r"\Z", "more\n" * MOST_LINES, "lines: at most"),
    (minutes_rule, r"^\| \d+ ", "| 99 ", "the minutes sum to"),
    (minutes_rule, r"^\| \d+ ", "| five ", "the minutes sum to"),
    (minutes_rule, "can go", "may go", "the plan is a table"),
    (minutes_rule, r"\| The bottleneck ", "| The bottle ", "no section 'The bottle'"),
    (minutes_rule, r"\| The bottleneck ", "| In practice ", "another order"),
    (minutes_rule, r"\*\*Live, \d+ s\*\*", "Live", "Live"),
    (minutes_rule, r"\*\*Hall, \d+ min\*\*", "Hall", "Hall"),
    (printed_rule, "`31.4 20.6`", "`31.4 20.7`", "prints no `31.4 20.7`"),
    (printed_rule, "`31.4 20.6`", "`31.4 20`", "prints no `31.4 20`"),
    (printed_rule, "`31.4 20.6`", "`1.4 20.6`", "prints no `1.4 20.6`"),
    (printed_rule, "`31.4 20.6`", "`31.4 20.6`\nand `a unicorn`", "prints no `a unicorn`"),
    (questions_rule, r"^5\. \*\*(?s:.)*(?=## What)", "", "questions: 5 to 7"),
    (questions_rule, r"^1\. \*\*", "1. ", "question 1 is"),
    (questions_rule, r"\*First comes:\*", "", "question 1 is"),
    (questions_rule, r"^1\. (?s:.)*?(?=\n\d)", "1. **?** " + " ".join(ANSWER), "quotes nothing"),
    (hints_rule, "the check says `", "the check says `oh ", "no check says 'oh "),
    (hints_rule, "(?s)the check says .*?(?=## Home)", "", "at least 3"),
    (exercises_rule, r"01\.3", "01.7", "no exercise 01.7"),
    (exercises_rule, r"01\.3", "02.1", "no exercise 02.1"),
    (homework_rule, r"\| \d \|$", "| 19 |", "the points sum to"),
    (homework_rule, "what earns the points", "why", "the homework is a table"),
    (homework_rule, r"^\| 01\.\d", "| Read 01.3", "begins with no exercise"),
    (homework_rule, r"\| 01\.6 ", "| 01.5 ", "turns none of"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_rule_sees_a_wrong_guide(number: int):
    """Each rule complains of the guide that was made wrong for it, and for that reason."""
    rule, pattern, put, complaint = WRONG[number]
    right = guide_of(LESSONS[0])
    wrong = re.sub(pattern, lambda _: put, right, flags=re.MULTILINE)
    assert wrong != right, f"nothing in the guide is like {pattern!r}"
    assert any(complaint in found for found in rule(wrong, lesson_of(LESSONS[0])))


def test_missing_guide_is_named():
    """A new lesson without a guide is told what to write."""
    with pytest.raises(AssertionError, match=r"write docs/teaching/99\.md"):
        guide_of(Path("99_nothing.ipynb"))
