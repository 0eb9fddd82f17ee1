"""The explorer of sampling in a real browser: sliders, buttons, a typed text, a wrong text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import Notebook, complaints, open_notebook, running_lab, write_notebook
from conftest import ROOT

pytestmark = pytest.mark.slow

PROMPT = "a cat"
# The best token is ".", and after another text another one.
EXPLORER = f"""
import torch
from course_utils.explorers import sampling_explorer

WORDS = [" dog", " cat", ".", " the", " a", "\\n", " sat", " mat"]

def next_logits(text):
    if not text.strip():
        raise ValueError("the text is empty: write <something>")
    return torch.arange(8.0).roll(len(text) - {len(PROMPT)} + 3) / 2

view = sampling_explorer(next_logits, WORDS.__getitem__, "{PROMPT}")
view
"""
# Sliders that move and do nothing.
DEAD = EXPLORER.removesuffix("view\n") + (
    "for part in view.children[2:-2]:\n    part.unobserve_all('value')\nview\n"
)

READ = "image => fetch(image.src).then(file => file.blob()).then(blob => blob.text())"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[browser.Lab, Path]]:
    """JupyterLab, and the folder that it shows."""
    browser.need_browser()
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks").mkdir()
    with running_lab(root, tmp_path_factory.mktemp("lab")) as started:
        yield started, root


class Explorer:
    """The explorer in the first cell, as its reader sees it."""

    def __init__(self, notebook: Notebook) -> None:
        self.node, self.page = notebook.node(0), notebook.page

    @property
    def text(self) -> str:
        """What stands in the field."""
        return self.node.locator("textarea").input_value()

    @property
    def picture(self) -> str:
        """What the picture's file holds; empty without a picture."""
        image = self.node.locator(".widget-image")
        return image.evaluate(READ) if image.count() and image.is_visible() else ""

    @property
    def said(self) -> str:
        """What stands in the place of the picture."""
        return self.node.locator(".widget-html-content").inner_text().strip()

    def slide(self, number: int, *keys: str) -> None:
        """Move a slider with the keyboard, to the right by one step if nothing else is said."""
        for key in keys or ("ArrowRight",):
            self.node.locator(".noUi-handle").nth(number).press(key)

    def press(self, name: str) -> None:
        """Press a button."""
        self.node.get_by_role("button", name=name).click()

    def write(self, text: str) -> None:
        """Type another text and leave the field."""
        field = self.node.locator("textarea")
        field.fill(text)
        field.press("Tab")

    def until(self, reached: Callable[[], Any], seconds: float = 30) -> bool:
        """Wait; whether it came."""
        for _ in range(int(10 * seconds)):
            if reached():
                return True
            self.page.wait_for_timeout(100)
        return False

    def changes(self, do: Callable[[], Any], seconds: float = 30) -> bool:
        """Whether something changes the picture into another one."""
        before = self.picture
        do()
        return self.until(lambda: self.picture not in ("", before), seconds)


def test_sampling_explorer_does_what_its_reader_asks(lab: tuple[browser.Lab, Path]) -> None:
    started, root = lab
    pictures = ROOT / "build" / "browser"
    pictures.mkdir(parents=True, exist_ok=True)
    with open_notebook(started, write_notebook(root, "sampling", EXPLORER)) as notebook:
        notebook.run_all(120)
        explorer = Explorer(notebook)
        assert explorer.until(lambda: explorer.picture) and explorer.text == PROMPT
        # Sliders, with the arrow keys: temperature and top-k.
        assert explorer.changes(lambda: explorer.slide(0))
        assert explorer.changes(lambda: explorer.slide(1))
        start = explorer.picture
        explorer.node.screenshot(path=pictures / "04-explorer.png")
        # Of one token that is left, the draw can only be that one.
        assert explorer.changes(lambda: explorer.press("next token"))
        assert explorer.text == f"{PROMPT}."
        # A wrong text gives a message in the place of the picture, a right one a picture again.
        explorer.write(" ")
        assert explorer.until(lambda: explorer.said == "the text is empty: write <something>")
        assert explorer.picture == "" and explorer.text == " "
        assert complaints(notebook) == []
        explorer.write("the dog")
        assert explorer.until(lambda: explorer.picture), (explorer.text, explorer.said)
        # Quick moves, then a wrong text: nothing gets stuck.
        for _ in range(4):
            explorer.slide(1, "ArrowRight", "ArrowLeft", "ArrowRight", "ArrowLeft")
            assert explorer.changes(lambda: explorer.press("next token"))
            # The picture may have been one of the slider's. And what the button writes while
            # somebody types takes the place of what is typed.
            assert explorer.until(lambda: explorer.text != "the dog"), explorer.text
            explorer.write(" ")
            assert explorer.until(lambda: explorer.said and not explorer.picture)
            explorer.write("the dog")
            assert explorer.until(lambda: explorer.picture and not explorer.said)
        explorer.press("start again")
        assert explorer.until(lambda: explorer.picture == start) and explorer.text == PROMPT
        assert complaints(notebook) == []


def test_sampling_explorer_with_dead_sliders_is_noticed(lab: tuple[browser.Lab, Path]) -> None:
    started, root = lab
    with open_notebook(started, write_notebook(root, "dead", DEAD)) as notebook:
        notebook.run_all(120)
        explorer = Explorer(notebook)
        assert explorer.until(lambda: explorer.picture)
        assert not explorer.changes(lambda: explorer.slide(0), seconds=2)
        assert not explorer.changes(lambda: explorer.slide(1), seconds=2)
        assert explorer.changes(lambda: explorer.press("next token"))
