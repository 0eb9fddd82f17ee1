"""Make the lessons' decks of slides: one file each, for a hall without network.

    python tools/slides.py [LESSON]

LESSON is the beginning of a file name, such as 01. The decks go to `build/slides/`. Nothing is
run: outputs are those that the lessons store. What is on which slide stands in the cells'
`slideshow` metadata. reveal.js and MathJax come from installed packages and go into each deck,
as do all pictures; `slides.html.j2` and `slides.css` say how a slide looks.
"""

from __future__ import annotations

import argparse
import base64
import mimetypes
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from notebooks import ROOT, LessonError, lessons, write

HERE = Path(__file__).resolve().parent
TARGET = ROOT / "build" / "slides"
# What the decks are made of: the package, and the file inside it.
PARTS = {
    "reveal": ("sphinx_revealjs", "_static/revealjs/dist/reveal.js"),
    "notes": ("sphinx_revealjs", "_static/revealjs/plugin/notes/notes.js"),
    "reveal_css": ("sphinx_revealjs", "_static/revealjs/dist/reveal.css"),
    "theme_css": ("sphinx_revealjs", "_static/revealjs/dist/theme/white.css"),
    "mathjax": ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js"),
}
HEADING = re.compile(r"^(#{1,2}) +(.+)", re.MULTILINE)
REMOTE_FONT = re.compile(r"@import url\([^)]*\);")
LESSON_LINK = re.compile(r'href="(\d\d_\w+)\.ipynb')
PICTURE = re.compile(r'(?<= src=")(?!data:)[^"]+')


def installed(package: str, place: str) -> Path:
    """A file inside an installed package."""
    found = find_spec(package)
    path = Path(found.origin).parent / place if found else None
    if path is None or not path.is_file():
        raise LessonError(f"{package} with {place} is missing: `make setup` installs it")
    return path


def part(package: str, place: str) -> str:
    """The text of a file inside an installed package, made fit to stand inside a page."""
    path = installed(package, place)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".js":  # a page would take these as its own
        return text.replace("</script", r"<\/script").replace("<!--", r"<\!--")
    return REMOTE_FONT.sub("", text)


def add_titles(book: NotebookNode) -> str:
    """Give each slide that begins without a heading its section's; returns the deck's title."""
    titles = [""]
    for cell in book.cells:
        headings = HEADING.findall(cell.source) if cell.cell_type == "markdown" else []
        titles += [text.strip() for _, text in headings]
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "")
        if kind in ("slide", "subslide") and not cell.source.startswith("#"):
            cell.metadata["running_title"] = titles[-1]
    return next(filter(None, titles), "")


def embedded(folder: Path, place: str) -> str:
    """A picture's file as an address that holds it."""
    if not (folder / place).is_file():
        raise LessonError(f"{place} is no file here, so it cannot go into the deck")
    kind, content = mimetypes.guess_type(place)[0], (folder / place).read_bytes()
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def deck(path: Path) -> str:
    """A lesson's deck: a page that needs nothing beside it."""
    from nbconvert import SlidesExporter
    from traitlets.config import Config

    book = nbformat.read(path, as_version=4)
    title = add_titles(book)
    exporter = SlidesExporter(
        raw_template=(HERE / "slides.html.j2").read_text(encoding="utf-8"),
        exclude_anchor_links=True,
        config=Config(CSSHTMLHeaderPreprocessor={"style": "a11y-high-contrast-light"}),
    )
    parts = {name: part(*place) for name, place in PARTS.items()}
    parts["own_css"] = (HERE / "slides.css").read_text(encoding="utf-8")
    about = {"name": title or path.stem, "path": str(path.parent)}
    try:
        page = exporter.from_notebook_node(book, resources={"metadata": about, "deck": parts})[0]
    except ValueError as error:
        raise LessonError(str(error)) from None
    # nbconvert embeds no picture from a folder beside the notebook's.
    slides, script, rest = page.partition("<script>")
    slides = PICTURE.sub(lambda found: embedded(path.parent, found[0]), slides)
    return LESSON_LINK.sub(r'href="\1.html', slides) + script + rest


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lesson", nargs="?", default="", help="the beginning of a file name: 01")
    chosen = parser.parse_args(words)
    try:
        for path in lessons(ROOT / "notebooks", chosen.lesson):
            begin, target = time.perf_counter(), TARGET / f"{path.stem}.html"
            try:
                write(target, deck(path))
            except LessonError as error:
                raise LessonError(f"{path.stem}: {error}") from None
            seconds, size = time.perf_counter() - begin, target.stat().st_size / 1e6
            print(f"build/slides/{target.name}  {size:.1f} MB, {seconds:.1f} s")
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1
    print("Open a deck in a browser. S: speaker's notes; F: full screen; ?print-pdf: to print.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
