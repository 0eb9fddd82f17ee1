"""Make the site: all lessons, guides and views as pages that need no network.

    python tools/book.py

Sphinx (myst-nb, PyData's theme) reads copies of the stored lessons and of docs/; nothing is run and
nothing is fetched. The copies are in build/book_source, the site in build/book/index.html. Decks
that `make slides` has made are taken along.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from html import escape, unescape
from pathlib import Path

import links
import nbformat
import slides

import notebooks

ROOT = Path(__file__).resolve().parents[1]
TITLE = "Attention and transformers"
REPOSITORY = f"{links.GITHUB}/{links.home(ROOT).repository}"
# Where a lesson's file name, with a capital, does not do for the head of the page.
SHORT = {"seq2seq_attention": "Seq2seq", "bpe": "BPE", "gpt": "GPT", "bert": "BERT", "vit": "ViT"}
TREE = """
```{toctree}
:hidden:
:caption: Lessons

%s
```

```{toctree}
:hidden:
:caption: More

%s
```
"""


def lesson_copy(path: Path) -> nbformat.NotebookNode:
    """A lesson for the site: words for the pictures that cells draw; no notes for lecturers."""
    book = nbformat.read(path, as_version=4)
    kept = []
    for cell in book.cells:
        if cell.metadata.get("slideshow", {}).get("slide_type") == "notes":
            continue
        if alt := cell.metadata.get("alt"):
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
        kept.append(cell)
    book.cells = kept
    return book


def lesson_table(readme: str) -> str:
    """The README's table of lessons."""
    return re.search(r"^## Lessons\n+(\|.*?\n)\n", readme, re.M | re.S)[1].strip()


def slide_links(decks: list[Path]) -> str:
    """A page that leads to the decks."""
    rows = "\n".join(
        f'- <a href="../slides/{deck.name}">{escape(title(deck))}</a>' for deck in decks
    )
    return f"# Slides\n\nOne file for each lesson, for a hall without network.\n\n{rows}\n"


def title(deck: Path) -> str:
    """A deck's title."""
    found = re.search(r"<title>(.*?)</title>", deck.read_text(encoding="utf-8"), re.S)
    return unescape(found[1].strip()) if found else deck.stem


def prepare(source: Path, root: Path = ROOT) -> None:
    """Copy what the site is made of into a new folder, laid out as in the clone."""
    for folder in ("docs", "img"):
        shutil.copytree(root / folder, source / folder)
    (source / "notebooks").mkdir()
    lessons = notebooks.lessons(root / "notebooks")
    for path in lessons:
        nbformat.write(lesson_copy(path), source / "notebooks" / path.name)
    extra = source / "extra"
    extra.mkdir()
    decks = sorted((root / "build" / "slides").glob("*.html"))
    if decks:
        shutil.copytree(root / "build" / "slides", extra / "slides")
        (source / "docs" / "slides.md").write_text(slide_links(decks), encoding="utf-8")
    write_attention(source)
    write_front(source, lessons, (root / "README.md").read_text(encoding="utf-8"))
    mathjax = slides.installed(*slides.PARTS["mathjax"])  # its fonts are inside
    (source / "docs" / "_static" / "mathjax").mkdir(parents=True)
    shutil.copy(mathjax, source / "docs" / "_static" / "mathjax")


def write_attention(source: Path) -> None:
    """The interactive page, alone and inside a page of the site."""
    import attention_demo

    attention_demo.write(source / "extra" / "attention.html")
    page = source / "docs" / "attention.md"
    frame = '<iframe class="view" src="../attention.html" title="Where BERT and GPT look"></iframe>'
    frame += '\n\n<a href="../attention.html">The page alone</a>'
    text = page.read_text(encoding="utf-8").replace("IFRAME", frame)
    page.write_text(text, encoding="utf-8")


def short(stem: str) -> str:
    """A lesson's name for the head of the page: "02_transformer" is "2 Transformer"."""
    number, _, name = stem.partition("_")
    return f"{int(number)} {SHORT.get(name) or name.replace('_', ' ').capitalize()}"


def write_front(source: Path, lessons: list[Path], readme: str) -> None:
    """The front page: docs/index.md at the top of the site, with the lessons' table."""
    page = source / "docs" / "index.md"
    text = page.read_text(encoding="utf-8").replace("LESSONS", lesson_table(readme))
    text = text.replace("REPOSITORY", REPOSITORY)
    page.unlink()
    # Its links start from docs/, the table's from the clone.
    text = re.sub(r"\]\((?!\.\./|https?:|notebooks/|img/)", "](docs/", text).replace("](../", "](")
    first = "\n".join(f"{short(path.stem)} <notebooks/{path.stem}>" for path in lessons)
    pages = {
        "Attention to try": "attention",
        "Teaching": "teaching/index",
        "Slides": "slides",
        "Sources": "sources",
    }
    more = [
        f"{name} <docs/{page}>"
        for name, page in pages.items()
        if (source / "docs" / f"{page}.md").exists()
    ]
    (source / "index.md").write_text(text + TREE % (first, "\n".join(more)), encoding="utf-8")
    guides = source / "docs" / "teaching" / "index.md"
    names = "\n".join(path.stem for path in sorted(guides.parent.glob("[0-9]*.md")))
    tree = f"\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    guides.write_text(guides.read_text(encoding="utf-8") + tree, encoding="utf-8")


def build(source: Path, target: Path) -> int:
    """Make the site in `target` by way of `source`, both new folders; Sphinx's exit status."""
    from sphinx.cmd.build import build_main

    source.mkdir(parents=True)
    prepare(source)
    os.environ["BOOK_TITLE"] = TITLE
    os.environ["BOOK_REPOSITORY"] = REPOSITORY
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(source / "docs")]
    return build_main([*options, str(source), str(target)])


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    if words:
        print(__doc__)
        return 2
    source, target = ROOT / "build" / "book_source", ROOT / "build" / "book"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    if status := build(source, target):
        print("the site could not be made: see the warnings above", file=sys.stderr)
        return status
    print(f"the site is in {(target / 'index.html').relative_to(ROOT).as_posix()}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
