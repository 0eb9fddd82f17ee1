"""The decks of slides: every slide of every lesson in a real browser, 1280 x 720.

The planted decks show that each check sees what it is for; then the lessons' have to pass them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT, load_tool
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDTH, HEIGHT = 1280, 720
# What is wrong with the slide that is shown. The insides of formulas are drawings.
LOOK = """([width, height, prose, code]) => {
  const slide = Reveal.getCurrentSlide(), found = new Set();
  const inside = 'mjx-container *, aside, aside *, script, style, svg *';
  const say = (what, node) => found.add(
    `${what}: ${(node.textContent || node.alt || node.tagName).trim().slice(0, 50)}`);
  const place = (box, node) => {
    if (box.right > width + 1 || box.bottom > height + 1 || box.left < -1 || box.top < -1)
      say('beyond the slide', node);
  };
  for (const node of slide.querySelectorAll('*')) {
    if (node.matches(inside)) continue;
    place(node.getBoundingClientRect(), node);
    const hides = getComputedStyle(node).overflow !== 'visible';
    if ((hides || node.matches('pre, .input, .outputs')) && node.scrollWidth > node.clientWidth + 1)
      say('wider than its box', node);
    if (hides && node.scrollHeight > node.clientHeight + 1) say('scrolls', node);
    if (node.matches('img') && /^(No description.*)?$/.test(node.alt.trim()))
      say('picture without words', node);
    if (node.matches('img') && !node.naturalWidth) say('picture does not load', node);
    if (node.matches('.too-full')) say('too full', node);
  }
  for (const formula of slide.querySelectorAll('[data-mml-node="merror"], mjx-merror'))
    found.add(`formula: ${formula.getAttribute('title') || formula.textContent}`);
  const texts = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());) {
    const parent = text.parentElement;
    if (!text.data.trim() || parent.matches(inside) || parent.matches('mjx-container')) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    place(range.getBoundingClientRect(), text);
    const mono = parent.closest('pre, code, .outputs');
    const size = parseFloat(getComputedStyle(parent).fontSize);
    if (size && size < (mono ? code : prose)) say(`${size} px`, text);
    if (!mono && /\\$[^$]+\\$|\\\\\\(|\\\\\\[|\\\\begin/.test(text.data)) say('raw formula', text);
  }
  return [...found];
}"""
LIMITS = [WIDTH, HEIGHT, 24, 18]
PLACES = "Reveal.getSlides().map(s => Reveal.getIndices(s)).map(i => [i.h, i.v])"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tool() -> Any:
    """tools/slides.py."""
    return load_tool("slides")


def opened(chromium: Any, path: Path, query: str = "") -> tuple[Any, list[str]]:
    """A deck's page, ready, and a list that fills with what it should not do."""
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page, wrong = context.new_page(), []

    def judge(route: Any) -> None:
        """Let the deck itself in, and nothing else."""
        if route.request.url.split("?")[0].split("#")[0] == path.as_uri():
            route.continue_()
        else:
            wrong.append(f"asks for {route.request.url}")
            route.abort()

    context.route(lambda url: not url.startswith(("data:", "about:", "blob:")), judge)
    page.on("pageerror", lambda error: wrong.append(f"JavaScript: {error}"))
    page.goto(path.as_uri() + query)
    page.wait_for_function("window.Reveal?.isReady()", timeout=60_000)
    return page, wrong


def complaints(chromium: Any, path: Path) -> list[str]:
    """What is wrong with a deck: every slide, with all its fragments."""
    page, wrong = opened(chromium, path)
    page.evaluate("Reveal.configure({fragments: false})")
    for column, row in page.evaluate(PLACES):
        page.evaluate("([h, v]) => Reveal.slide(h, v)", [column, row])
        wrong += [f"{column}.{row}: {text}" for text in page.evaluate(LOOK, LIMITS)]
    page.context.close()
    return wrong


def write_deck(tool: Any, folder: Path, *cells: nbformat.NotebookNode) -> Path:
    """The deck of a notebook that begins with these cells on one slide."""
    cells[0].metadata["slideshow"] = {"slide_type": "slide"}
    book, deck = folder / "planted.ipynb", folder / "planted.html"
    nbformat.write(new_notebook(cells=[*cells]), book)
    deck.write_text(tool.deck(book), encoding="utf-8")
    return deck


def text(source: str) -> nbformat.NotebookNode:
    """A markdown cell."""
    return new_markdown_cell(f"# Title\n\n{source}")


def shown(**data: str) -> nbformat.NotebookNode:
    """A code cell with an output."""
    output = new_output("display_data", {k.replace("_", "/"): v for k, v in data.items()})
    return new_code_cell("show()", outputs=[output])


DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PLANTED = {
    "too full": new_code_cell("\n".join(["print()"] * 60)),
    "beyond the slide": new_code_cell("x = '" + "long" * 50 + "'"),
    "formula: Undefined control sequence": text(r"$\nosuchcommand{x}$"),
    "formula: Missing argument": text(r"$\frac{1}$"),
    "raw formula": text(r"$\frac{1$"),
    "asks for http://192.0.2.1/far.png": shown(
        text_html="<p style='background: url(http://192.0.2.1/far.png)'>far</p>"
    ),
    "asks for http://192.0.2.1/far.js": shown(
        text_html="<script>fetch('http://192.0.2.1/far.js').catch(() => 0)</script>"
    ),
    "JavaScript: planted": shown(text_html="<script async>throw Error('planted')</script>"),
    "10 px": text('<span style="font-size: 10px">nobody reads this</span>'),
    "17 px": shown(text_html='<span style="font-size: 17px">nobody reads this</span>'),
    "picture without words": shown(image_png=DOT),
    "picture without words: No description": text(f'<img src="data:image/png;base64,{DOT}">'),
}


@pytest.mark.parametrize("complaint", PLANTED)
def test_planted_deck_has_its_complaint(
    complaint: str, tool: Any, chromium: Any, tmp_path: Path
) -> None:
    found = complaints(chromium, write_deck(tool, tmp_path, PLANTED[complaint]))
    assert any(complaint in line for line in found), found


def test_sound_deck_has_no_complaint_and_goes_on_below(
    tool: Any, chromium: Any, tmp_path: Path
) -> None:
    picture = shown(image_png=DOT)
    picture.metadata["alt"] = "a dot"
    table = "| a | b |\n|---|---|\n| $x$ | `code` |"
    cells = text(f"One line, $\\frac{{a}}{{b}}$.\n\n{table}"), picture, shown(text_plain="out")
    deck = write_deck(tool, tmp_path, *cells, new_markdown_cell("\n\n".join(["A line."] * 30)))
    assert complaints(chromium, deck) == []
    page, _ = opened(chromium, deck)
    assert len(page.evaluate(PLACES)) > 2
    page.context.close()


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_deck_of_a_lesson_has_no_complaint(
    path: Path, tool: Any, chromium: Any, tmp_path: Path
) -> None:
    deck = tmp_path / f"{path.stem}.html"
    deck.write_text(tool.deck(path), encoding="utf-8")
    assert complaints(chromium, deck) == []


def test_notes_keys_and_printing_work_from_a_file(tool: Any, chromium: Any, tmp_path: Path) -> None:
    notes = new_markdown_cell("Ask, $x$.", metadata={"slideshow": {"slide_type": "notes"}})
    below = new_markdown_cell("Below.", metadata={"slideshow": {"slide_type": "subslide"}})
    deck = write_deck(tool, tmp_path, text("First."), notes, below)
    page, wrong = opened(chromium, deck)
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    value = popup.value.locator(".speaker-controls-notes .value")
    value.get_by_text("Ask").wait_for()
    assert value.locator("mjx-container svg").count() == 1
    page.keyboard.press("ArrowDown")
    assert page.evaluate("Reveal.getIndices().v") == 1
    assert (page.title(), wrong) == ("Title", [])
    page.context.close()
    page, wrong = opened(chromium, deck, "?print-pdf")
    page.locator(".pdf-page").nth(1).wait_for()
    assert (page.locator(".pdf-page").count(), wrong) == (2, [])
    page.context.close()


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_section_has_notes_for_the_lecturer(path: Path) -> None:
    sections: dict[str, list[str]] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if cell.source.startswith("## ") and cell.cell_type == "markdown" and kind != "skip":
            sections[cell.source.splitlines()[0]] = []
        if kind == "notes":
            assert cell.source.startswith("**For the lecturer.** ")
            sections[list(sections)[-1]].append(cell.source)
    assert sections and [name for name, notes in sections.items() if not notes] == []


def test_picture_that_cannot_go_into_the_deck_is_said(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for place in ("http://192.0.2.1/far.png", "../img/lost.svg"):
        with pytest.raises(tool.LessonError, match="is no file here"):
            write_deck(tool, tmp_path, text(f"![lost]({place})"))
    monkeypatch.setattr(tool, "TARGET", tmp_path)
    assert tool.main(["09"]) == 1
    assert "no lesson begins with '09'" in capsys.readouterr().err
