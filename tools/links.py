"""The course's links to itself: badges and the line that installs it, from one setting.

    python tools/links.py check    # what is wrong, one line each
    python tools/links.py write    # put it right

The setting is `[tool.course]` in pyproject.toml: `repository` (owner/name) and `ref`, the tag that
the links point to, so that a lesson on Colab installs the very version that it was written for.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GITHUB, COLAB = "https://github.com", "https://colab.research.google.com/github"
BADGE = re.compile(r"\[!\[Open in Colab\]\(([^)]*)\)\]\(([^)]*)\)")
INSTALL = re.compile(r"^(\s*)%pip install .*$", re.MULTILINE)
MARK = "## Set-up\n"


@dataclass(frozen=True)
class Home:
    """Where the course lives.

    Parameters
    ----------
    repository : str
        "owner/name" on GitHub.
    ref : str
        A tag or a branch of it.
    """

    repository: str
    ref: str

    def install(self) -> str:
        """The line of the set-up cell, for IPython."""
        return f"%pip install -q git+{GITHUB}/{self.repository}@{self.ref}"

    def colab(self, lesson: str) -> str:
        """The address that opens a lesson on Colab; `lesson` is its file's name."""
        return f"{COLAB}/{self.repository}/blob/{self.ref}/notebooks/{lesson}"

    def badge(self, lesson: str, up: str) -> str:
        """The badge in Markdown; `up` leads from the page to the course's folder."""
        return f"[![Open in Colab]({up}img/open_in_colab.svg)]({self.colab(lesson)})"


def values(text: str, table: str) -> dict[str, str]:
    """The strings of one table of a TOML file (Python 3.10 reads no TOML by itself)."""
    body = re.search(rf"^\[{re.escape(table)}\]\n(.*?)(?=^\[|\Z)", text, re.M | re.S)
    return dict(re.findall(r'^(\w+) = "([^"]*)"', body[1], re.M)) if body else {}


def home(root: Path) -> Home:
    """The setting of the course in `root`."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    found = values(text, "tool.course")
    if set(found) != {"repository", "ref"}:
        raise SystemExit('pyproject.toml: [tool.course] needs repository = "owner/name" and ref')
    return Home(**found)


def setting_complaints(root: Path) -> Iterator[str]:
    """What contradicts the setting inside pyproject.toml."""
    text, here = (root / "pyproject.toml").read_text(encoding="utf-8"), home(root)
    if (found := values(text, "project.urls").get("Repository")) != f"{GITHUB}/{here.repository}":
        yield f"pyproject.toml: Repository is {found}, [tool.course] says {here.repository}"
    version = values(text, "project").get("version")
    if here.ref != f"v{version}":
        yield f"pyproject.toml: ref is {here.ref}, the version is {version}: v{version} is its tag"


def with_badges(text: str, here: Home, up: str) -> str:
    """A page whose badges lead to where they should; each names its lesson by the old address."""
    return BADGE.sub(lambda found: here.badge(found[2].rpartition("/")[2], up), text)


def mended_book(text: str, here: Home, lesson: str) -> str:
    """A stored notebook with the right badge in the set-up's text, and the right line below."""
    book = json.loads(text)
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith(MARK):
            plain = BADGE.sub("", source[len(MARK) :]).strip("\n")
            cell["source"] = f"{MARK}\n{here.badge(lesson, '../')}\n\n{plain}".splitlines(True)
        if "setup" in cell["metadata"].get("tags", []):
            cell["source"] = INSTALL.sub(rf"\1{here.install()}", source).splitlines(True)
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def mended(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Each page with links of the course to itself: the file, its text, and what it should be."""
    here = home(root)
    for path in sorted(root.glob("notebooks/*.ipynb")):
        text = path.read_text(encoding="utf-8")
        yield path, text, mended_book(text, here, path.name)
    path = root / "README.md"
    text = path.read_text(encoding="utf-8")
    yield path, text, with_badges(text, here, "")


def complaints(root: Path) -> Iterator[str]:
    """All that is wrong, one line each."""
    yield from setting_complaints(root)
    for path, text, right in mended(root):
        if text != right:
            place = path.relative_to(root).as_posix()
            yield f"{place}: badge or install line is not that of the setting: make format"
    readme, here = (root / "README.md").read_text(encoding="utf-8"), home(root)
    for path in sorted(root.glob("notebooks/*.ipynb")):
        if here.badge(path.name, "") not in readme:
            yield f"README.md: no badge for {path.name}"
        if here.install() not in path.read_text(encoding="utf-8"):
            yield f"notebooks/{path.name}: no line '{here.install()}' in the set-up cell"


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    if words == ["write"]:
        for path, text, right in mended(ROOT):
            if text != right:
                part = path.with_name(path.name + ".part")  # a file is replaced whole or not at all
                part.write_text(right, encoding="utf-8", newline="\n")
                part.replace(path)
                print(f"mended {path.relative_to(ROOT).as_posix()}")
        return 0
    if words != ["check"]:
        print(__doc__)
        return 2
    wrong = list(complaints(ROOT))
    print("\n".join(wrong) or "badges and install lines are right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
