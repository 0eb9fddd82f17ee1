"""The site: every link leads somewhere, nothing is asked of another machine, and it can be read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from conftest import ROOT, load_tool
from test_accessibility import contrast

book = load_tool("book")
LESSONS = [f"notebooks/{path.stem}.html" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
# What a page loads by itself, as against what a reader may follow.
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href")}
LOADED |= {("source", "src"), ("video", "src"), ("audio", "src"), ("object", "data")}
OUTSIDE = re.compile(r"(?:https?:)?//")


class Page(HTMLParser):
    """What a page loads, where it leads, its places and its pictures without words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.places: set[str] = set()
        self.wordless: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        for name in ("src", "href", "data"):
            if not (value := found.get(name)):
                continue
            quiet = tag == "link" and found.get("rel") in ("index", "search", "next", "prev")
            (self.loads if (tag, name) in LOADED and not quiet else self.leads).append(value)
        alt = found.get("alt") or ""
        # Sphinx writes a file's name where there are no words.
        if tag == "img" and (not alt.strip() or re.search(r"\.(png|svg|jpe?g)$", alt)):
            self.wordless.append(found.get("src") or "")


def complaints(site: Path) -> Iterator[str]:
    """What is wrong with the pages of a site."""
    # In _static lie parts of the theme, no pages.
    paths = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        yield from (f"{name}: no words for {picture[:60]}" for picture in page.wordless)
        for address in [*page.loads, *page.leads]:
            if OUTSIDE.match(address):
                if address in page.loads:
                    yield f"{name}: loads {address}"
                continue
            if re.match(r"(data|mailto|javascript|blob|about):", address):
                continue
            file, place = urldefrag(address)
            target = (path.parent / unquote(file.split("?")[0])).resolve() if file else path
            if not target.is_file():
                yield f"{name}: {address} leads to nothing"
            elif place and target in pages and place not in pages[target].places:
                yield f"{name}: {address} leads to no place on that page"
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(r"(?:url\(|@import\s*)[\"']?(//|https?:[^\"')]*)", text):
            yield f"{path.relative_to(site).as_posix()}: loads {address}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    # As `make book` does it, in a process of its own: Sphinx changes much of what is around it.
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import book; "
    code += "sys.exit(book.build(Path(sys.argv[2], 'source'), Path(sys.argv[2], 'site')))"
    words = [sys.executable, "-c", code, str(ROOT / "tools"), str(folder)]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return (folder / "site").resolve()


@pytest.mark.slow
def test_site_has_every_page_and_every_link_leads_somewhere(site: Path) -> None:
    pages = ["index.html", "search.html", "attention.html", "docs/attention.html", *LESSONS]
    pages += ["docs/sources.html", "docs/teaching/index.html"]
    pages += [f"docs/teaching/{Path(page).stem[:2]}.html" for page in LESSONS]
    assert [page for page in pages if not (site / page).is_file()] == []
    assert list(complaints(site)) == []


RIGHT = '<a href="b.html#here">b</a><img src="a.png" alt="a"><a href="https://x.org">x</a>'
WRONG = {
    "page": (RIGHT + '<a href="c.html">c</a>', "c.html leads to nothing"),
    "place": (RIGHT + '<a href="b.html#there">b</a>', "b.html#there leads to no place"),
    "picture": (RIGHT + '<img src="c.png" alt="c">', "c.png leads to nothing"),
    "words": (RIGHT + '<img src="a.png">', "no words for a.png"),
    "name for words": (RIGHT + '<img src="a.png" alt="a.png">', "no words for a.png"),
    "script": (RIGHT + '<script src="https://x.org/a.js"></script>', "loads https://x.org/a.js"),
    "style": (RIGHT + '<link rel="stylesheet" href="//x.org/a.css">', "loads //x.org/a.css"),
}


@pytest.mark.parametrize("case", ["right", *WRONG])
def test_check_of_pages_rejects(case: str, tmp_path: Path) -> None:
    text, told = WRONG.get(case, (RIGHT, ""))
    (tmp_path / "a.html").write_text(text)
    (tmp_path / "b.html").write_text('<p id="here">b</p>')
    (tmp_path / "a.png").touch()
    (tmp_path / "a.css").write_text("p { background: url(a.png) }")
    found = list(complaints(tmp_path))
    assert len(found) == (case != "right") and told in "".join(found)


def test_check_of_styles_rejects(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@import 'https://x.org/a.css'; p { src: url(//x.org/b) }")
    assert len(list(complaints(tmp_path))) == 2


@pytest.fixture
def visit(chromium, site: Path) -> Iterator:
    """Opens a page; at the end no other machine was asked, and no JavaScript failed."""
    asked, contexts, errors = [], [], []

    def note(request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:", "about:")):
            asked.append(request.url)

    def visit(page: str, width: int = 1280, scale: float = 1, scheme: str = "light"):
        size = {"width": width, "height": 800}
        context = chromium.new_context(
            viewport=size, device_scale_factor=scale, color_scheme=scheme
        )
        contexts.append(context)
        opened = context.new_page()
        opened.on("request", note)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(f"{site.as_uri()}/{page}")
        return opened

    yield visit
    for context in contexts:
        context.close()
    assert asked == [] and errors == []


WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["index.html", "docs/attention.html", *LESSONS])
def test_page_fits_a_phone_and_twice_the_size(page: str, visit) -> None:
    # 200 % on a screen of 1280 pixels leaves 640.
    for width, scale in ((360, 2), (640, 2)):
        opened = visit(page, width, scale)
        opened.wait_for_load_state("load")
        assert opened.evaluate(WIDER) <= 0, f"{width} pixels wide, it scrolls sideways"
        opened.close()


@pytest.mark.slow
def test_search_finds_and_opens_a_lesson(visit) -> None:
    page = visit("search.html?q=Bahdanau")
    page.wait_for_selector("#search-results li a")
    page.wait_for_timeout(1000)  # excerpts of the pages found come a moment later
    page.locator("#search-results li a", has_text="Lesson 1").first.click()
    page.wait_for_url("**/01_seq2seq_attention.html*")
    assert "Lesson 1" in page.locator("h1").first.inner_text()


@pytest.mark.slow
def test_lesson_shows_formulas_and_pictures(visit) -> None:
    page = visit("notebooks/02_transformer.html")
    page.wait_for_function("document.querySelectorAll('mjx-container svg').length > 50")
    assert page.locator("[data-mjx-error], mjx-merror, [data-mml-node=merror]").count() == 0
    bare = "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(i => i.complete)")
    assert page.evaluate(bare) == [] and page.locator("article img").count() > 10


COLOURS = """element => {
  let ground = element, colour = "rgba(0, 0, 0, 0)";
  while (ground && /, 0\\)$/.test(colour)) {
    colour = getComputedStyle(ground).backgroundColor; ground = ground.parentElement;
  }
  return [getComputedStyle(element).color, colour];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(scheme: str, visit) -> None:
    page = visit("notebooks/02_transformer.html", scheme=scheme)
    assert page.locator("html").get_attribute("data-theme") == scheme
    places = ["article p", "article h2", "article p a", "article .highlight .k"]
    for place in [*places, "article .text_html td", "header .nav-link"]:
        ink, ground = page.locator(place).first.evaluate(COLOURS)
        rgb = [[int(n) / 255 for n in re.findall(r"\d+", text)[:3]] for text in (ink, ground)]
        assert contrast(*rgb) >= 4.5, (place, ink, ground)


@pytest.mark.slow
def test_dark_mode_can_be_chosen(visit) -> None:
    page = visit("index.html")
    page.locator(".theme-switch-button:visible").first.click()
    page.locator(".theme-change-button[data-mode=dark]:visible").first.click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
