"""What must hold in the course's texts: spelling, links, addresses, `make` targets.

A text is a file and its parts: the cells of a notebook with their numbers, counted from 1, or the
whole of another file with the number None. Nothing is asked of a network. codespell finds common
typing errors; words that it takes for errors and that are meant are in spelling.txt.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

Parts = list[tuple[int | None, str]]
Complaint = tuple[Path, int | None, str]

WORDS = Path(__file__).with_name("spelling.txt")
PAGES = ("*.md", "docs/**/*.md", "data/**/*.md", "notebooks/*.ipynb", "exercises/*.ipynb")
CODE = ("course_utils", "tests", "tools", "benchmarks", "img", "docs", ".ci")
SPELLED = ("*.md", "Makefile", "*.toml", "*.txt", "docs/**/*.md", "data/**/*.md")
# The course writes British English; names in code are as the libraries have them.
AMERICAN = re.compile(
    r"\b(?:analyz|behavior|canceled|center|color|favor|fulfill|labeled|labeling|modeling|neighbor"
    r"|normaliz|organiz|recogniz|summariz)\w*",
    re.IGNORECASE,
)
# Titles of papers stand in links or in italics, as their authors wrote them.
TITLE = re.compile(r"\[[^]]*\]\([^)]*\)|(?<!\*)\*(?![*\s])[^*\n]+\*(?!\*)")
FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)|\b(?:href|src)\s*=\s*[\"']([^\"']+)")
ADDRESS = re.compile(r"\b[a-z]+://[^\s)>\]\"'`|]*")
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
PLACEHOLDER = re.compile(r"example\.(com|org)|\byour|\bowner\b|todo|xxx|\.\.\.|[<>{}]", re.I)
TARGET = re.compile(r"\bmake((?: +[a-z][a-z-]*(?![\w=./-]))+)")


def parts(path: Path, kinds: tuple[str, ...] = ("markdown",)) -> Parts:
    """A file's text: the cells of these kinds of a notebook, or the whole."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return [(None, text)]
    cells = enumerate(json.loads(text)["cells"], 1)
    return [(k, "".join(cell["source"])) for k, cell in cells if cell["cell_type"] in kinds]


def files(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    """The files that these patterns name, each once."""
    return sorted({path for pattern in patterns for path in root.glob(pattern)})


def without_code(text: str) -> str:
    """A Markdown text without its code."""
    return SPAN.sub("", FENCE.sub("", text))


def spelling(root: Path) -> Iterator[Complaint]:
    """Words that codespell takes for typing errors, in texts, code and notebooks (no outputs)."""
    from codespell_lib import main

    code = (f"{folder}/**/*{end}" for folder in CODE for end in (".py", ".svg", ".txt", "run"))
    names = [path for path in files(root, (*SPELLED, *code)) if path.is_file() and path != WORDS]
    places: dict[str, tuple[Path, list[int | None]]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
        for book in files(root, ("notebooks/*.ipynb",)):
            copy = Path(folder, f"{book.stem}.txt")
            cells = parts(book, ("markdown", "code", "raw"))
            copy.write_text("\n".join(text for _, text in cells), encoding="utf-8")
            lines = [number for number, text in cells for _ in text.split("\n")]
            places[str(copy)] = book, lines
        main("--ignore-words", str(WORDS), "--quiet-level", "7", *map(str, names), *places)
    for line in said.getvalue().splitlines():
        if found := re.fullmatch(r"(.*):(\d+): (.*)", line):
            book, lines = places.get(found[1], (Path(found[1]), []))
            number = lines[int(found[2]) - 1] if lines else None
            where = "" if lines else f"line {found[2]}: "
            yield book, number, f"{where}{found[3]}? If it is meant, add it to tools/{WORDS.name}"
    for page in files(root, PAGES):
        for number, text in parts(page):
            for word in AMERICAN.findall(TITLE.sub("", without_code(text))):
                yield page, number, f"'{word}' is American; the course writes British English"


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    """All anchors of a page; headings of the same words are numbered."""
    seen: dict[str, int] = {}
    found = set()
    for _, text in parts(path):
        for heading in re.findall(r"^#+ +(.*)", FENCE.sub("", text), re.M):
            name = slug(heading)
            found.add(f"{name}-{seen[name]}" if name in seen else name)
            seen[name] = seen.get(name, 0) + 1
    return found


def relative_links(root: Path) -> Iterator[Complaint]:
    """Links and pictures that lead to no file, or to no heading of it."""
    for page in files(root, PAGES):
        for number, text in parts(page):
            for link in map("".join, LINK.findall(without_code(text))):
                if wrong := broken(root, page, link):
                    yield page, number, f"the link {link} leads to {wrong}"


def broken(root: Path, page: Path, link: str) -> str:
    """What is wrong with a link inside the course; "" when nothing is, or it leads elsewhere."""
    if re.match(r"[a-z]+:", link):
        return ""
    name, _, anchor = unquote(link).partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(root.resolve()) and target != page:
        return "a place outside the course"
    if not target.exists():
        return "no file"
    known = anchors(target) if anchor and target.suffix in {".md", ".ipynb"} else {anchor}
    return "" if anchor in known else f"no heading; there are {', '.join(sorted(known))}"


def addresses(root: Path) -> Iterator[Complaint]:
    """Addresses that cannot be right, as far as that can be told without a network."""
    for page in files(root, PAGES):
        for number, text in parts(page):
            for address in ADDRESS.findall(without_code(text)):
                url = urlsplit(address)
                if url.scheme != "https":
                    yield page, number, f"the address {address} does not begin with https://"
                elif not HOST.fullmatch(url.netloc):
                    yield page, number, f"the address {address} names no host"
                elif PLACEHOLDER.search(address):
                    yield page, number, f"the address {address} holds a place-holder"


def targets(root: Path) -> Iterator[Complaint]:
    """`make` commands in the texts that the Makefile does not have."""
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    for page in files(root, PAGES):
        for number, text in parts(page):
            code = [found[0] for found in SPAN.finditer(text)]  # blocks, too
            lines = (line.partition("#")[0] for piece in code for line in piece.splitlines())
            names = {name for line in lines for run in TARGET.findall(line) for name in run.split()}
            for name in sorted(names - known):
                yield page, number, f"the Makefile has no target '{name}'"


CHECKS = [spelling, relative_links, addresses, targets]
