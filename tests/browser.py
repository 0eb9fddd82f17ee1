"""A real browser on JupyterLab, for the tests that look at a lesson as its reader does.

The browser is the machine's Chromium or Chrome, steered by Playwright. JupyterLab is started by
`tools/lab.py`, with folders of its own for everything that it reads and writes. Both end with
their `with` block; should the tests be killed before that, each notices and ends by itself.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import nbformat
import psutil
import pytest
from conftest import ROOT, load_tool

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NAMES += ("chrome", "msedge", "microsoft-edge")
# Where macOS and Windows keep it; not on the path there.
MAC = ("Chromium", "Google Chrome", "Microsoft Edge")
WINDOWS = (r"Chromium\Application\chrome.exe", r"Google\Chrome\Application\chrome.exe")
WINDOWS += (r"Microsoft\Edge\Application\msedge.exe",)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-sync", "--disable-background-networking", "--disable-component-update"]
# The same with and without a network: no other machine is reached.
FLAGS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
HERE = "127.0.0.1"


def find_browser() -> str | None:
    """The path of the machine's Chromium, Chrome or Edge; None where there is none."""
    places = [shutil.which(name) for name in NAMES]
    places += [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in MAC]
    for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
        places += [os.path.join(os.environ.get(variable, ""), place) for place in WINDOWS]
    return next((place for place in places if place and os.path.isfile(place)), None)


def need_browser() -> str:
    """The browser's path. Without a browser or Playwright the test is skipped.

    With `COURSE_BROWSER=required` in the environment the test fails instead.
    """
    if find_spec("playwright") is None:
        missing = "Playwright is missing: `make setup`, or pip install playwright"
    elif (found := find_browser()) is None:
        missing = "no Chromium or Chrome found: `apt install chromium`, or google.com/chrome"
    else:
        return found
    if os.environ.get("COURSE_BROWSER") == "required":
        pytest.fail(f"{missing}. COURSE_BROWSER=required asks for it.")
    pytest.skip(missing)


# JupyterLab.

# A part of the server's settings: the tests may be killed at any time, the server must not stay.
WATCH = """
import os, signal, threading, time

def end_with_the_tests(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_the_tests, args=[os.getppid()], daemon=True).start()
"""


@dataclass
class Lab:
    """A running JupyterLab."""

    folder: Path  # where it writes
    port: int
    token: str

    def url(self, path: str = "/", query: str = "") -> str:
        """The address of a page, with what opens the door."""
        return f"http://{HERE}:{self.port}{path}?token={self.token}{query}"


def environment(folder: Path) -> dict[str, str]:
    """Folders of its own for everything that JupyterLab and its kernels read or write."""
    foreign = ("JUPYTER", "IPYTHON", "MPLBACKEND")  # figures must reach the notebook
    kept = {k: v for k, v in load_tool("lab").environment().items() if not k.startswith(foreign)}
    own = [f"JUPYTER_{name}_DIR" for name in ("CONFIG", "DATA", "RUNTIME")]
    own += [f"JUPYTERLAB_{name}_DIR" for name in ("SETTINGS", "WORKSPACES")] + ["IPYTHONDIR"]
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    kept["JUPYTER_PREFER_ENV_PATH"] = "no"  # the kernel below comes first
    return kept | {name: str(folder / name) for name in own}


def write_settings(folder: Path) -> None:
    """The set-up's settings, this Python as the kernel, and the watch."""
    load_tool("setup_venv").quiet_notebooks(str(folder))
    kernel = folder / "JUPYTER_DATA_DIR" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    words = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": words, "display_name": "Python 3 (ipykernel)", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    config = folder / "JUPYTER_CONFIG_DIR"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text(WATCH, encoding="utf-8")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


@contextmanager
def running_lab(root: Path, folder: Path) -> Iterator[Lab]:
    """JupyterLab as `make lab` starts it, on another root.

    Parameters
    ----------
    root : Path
        What the list of files shows.
    folder : Path
        An empty folder for everything that the server writes.

    Raises
    ------
    AssertionError
        When it ends by itself or does not answer; the text holds its log.
    """
    lab = Lab(folder, free_port(), secrets.token_hex(8))
    more = ["--no-browser", f"--port={lab.port}", f"--IdentityProvider.token={lab.token}"]
    more += [f"--LabApp.app_settings_dir={folder / '.venv/share/jupyter/lab/settings'}"]
    more += ["--LabApp.expose_app_in_browser=True"]
    write_settings(folder)
    with patch.object(load_tool("lab"), "ROOT", root):
        words = load_tool("lab").command(*more)
    with open(folder / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(words, env=environment(folder), stdout=log, stderr=log, cwd=root)
        try:
            wait_for(lab, process)
            yield lab
        finally:
            end(process)


def wait_for(lab: Lab, process: subprocess.Popen, seconds: float = 120) -> None:
    """Return when the server answers."""
    latest = time.monotonic() + seconds
    while time.monotonic() < latest and process.poll() is None:
        try:
            with urllib.request.urlopen(lab.url("/api"), timeout=20):
                return
        except OSError:
            time.sleep(0.2)
    log = (lab.folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:]
    raise AssertionError(f"JupyterLab did not answer within {seconds} s. Its log:\n{log}")


def end(process: subprocess.Popen) -> None:
    """End a server and its kernels: politely first, then whatever is left."""
    children = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=5)


# The browser.


@dataclass
class Visit:
    """An open page, and what it did that it should not do."""

    page: Any  # playwright.sync_api.Page
    foreign: list[str]  # addresses on other machines that it asked for
    errors: list[str]  # of JavaScript, caught by nobody


@contextmanager
def open_page(folder: Path) -> Iterator[Visit]:
    """An empty page of a browser with a new profile below `folder`; skips without a browser."""
    path = need_browser()
    from playwright.sync_api import sync_playwright

    profile = tempfile.mkdtemp(prefix="profile", dir=folder)
    with sync_playwright() as driver:
        # A tall window: a screenshot of a cell shows the whole cell.
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=path, args=[*FLAGS], viewport={"width": 1280, "height": 2200}
        )
        try:
            page = context.pages[0]
            visit = Visit(page, [], [])
            context.on("request", lambda request: note_foreign(visit, request.url))
            page.on("websocket", lambda connection: note_foreign(visit, connection.url))
            page.on("pageerror", lambda error: visit.errors.append(str(error)))
            yield visit
        finally:
            context.close()


def note_foreign(visit: Visit, url: str) -> None:
    """Record an address unless it is on this machine or inside the page."""
    place = urlsplit(url)
    if place.scheme in ("http", "https", "ws", "wss") and place.hostname != HERE:
        visit.foreign.append(url)


# A notebook in JupyterLab. JavaScript sees the application as `jupyterapp`.

CONTENT = "jupyterapp.shell.currentWidget.content"
IS_READY = """() => {
    const shown = window.jupyterapp?.shell?.currentWidget;
    const session = shown?.sessionContext;
    const kernel = session?.session?.kernel;
    return shown?.context?.isReady && session?.isReady
        && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
RUN_ALL = """() => {
    window.courseRun = 'running';
    jupyterapp.commands.execute('notebook:run-all-cells')
        .then(() => { courseRun = 'done'; }, error => { courseRun = String(error); });
}"""
# Pictures are drawn when their cell comes near: wait for as many as there must be, then for each.
PICTURES = f"""async ([index, expected]) => {{
    await {CONTENT}.scrollToItem(index);
    const cell = {CONTENT}.widgets[index];
    await cell.ready;
    const found = () => [...cell.node.querySelectorAll('img')];
    for (let tries = 0; tries < 50 && found().length < expected; tries++)
        await new Promise(go => setTimeout(go, 100));
    await Promise.all(found().map(image => image.decode().catch(() => null)));
    return found().map(image => ({{alt: image.alt, width: image.naturalWidth}}));
}}"""


@dataclass
class View:
    """What an explorer shows: the text of its field and the address of its picture."""

    text: str
    picture: str


class Notebook:
    """A notebook that is open in JupyterLab; made by `open_notebook`."""

    def __init__(self, visit: Visit) -> None:
        self.visit, self.page = visit, visit.page

    def run_all(self, seconds: float) -> None:
        """Run all cells; after an error the rest stays as it is, as for a reader."""
        from playwright.sync_api import TimeoutError as TooLong

        self.page.evaluate(RUN_ALL)
        finished = "() => courseRun !== 'running'"
        try:
            self.page.wait_for_function(finished, timeout=1e3 * seconds, polling=200)
        except TooLong:
            waiting = [index for index, cell in self.code_cells() if not cell["execution_count"]]
            raise AssertionError(f"after {seconds} s these cells wait: {waiting}") from None
        state = self.page.evaluate("courseRun")
        assert state == "done", f"JupyterLab could not run the cells: {state}"

    def cells(self) -> list[dict[str, Any]]:
        """The cells with their outputs of now, as a file would hold them."""
        return self.page.evaluate(f"{CONTENT}.model.toJSON().cells")

    def code_cells(self) -> list[tuple[int, dict[str, Any]]]:
        """The cells with code, each with its place."""
        cells = enumerate(self.cells())
        return [(k, cell) for k, cell in cells if cell["cell_type"] == "code" and source(cell)]

    def node(self, index: int) -> Any:
        """The place of a cell on the page, scrolled into view: a Playwright locator."""
        self.page.evaluate(f"index => {CONTENT}.scrollToItem(index)", index)
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')

    def pictures(self, index: int, expected: int) -> list[dict[str, Any]]:
        """A cell's pictures; waits up to 5 s until there are `expected`.

        Each is {"alt": words, "width": pixels of the file, 0 when it did not load}.
        """
        return self.page.evaluate(PICTURES, [index, expected])

    def view(self, index: int) -> View:
        """What the explorer in a cell shows now."""
        node = self.node(index)
        address = node.locator(".widget-output img").first.get_attribute("src")
        return View(node.locator(".widget-text input").first.input_value(), address)

    def move_slider(self, index: int, seconds: float = 60) -> tuple[View, View]:
        """Move the first slider of a cell by one; the view before, and after both parts changed.

        When `seconds` have passed the view is returned as it is then.
        """
        before = after = self.view(index)
        self.node(index).locator(".noUi-handle").first.focus()
        self.page.keyboard.press("ArrowRight")
        latest = time.monotonic() + seconds
        while time.monotonic() < latest and (
            after.text == before.text or after.picture == before.picture
        ):
            self.page.wait_for_timeout(100)
            after = self.view(index)
        return before, after


def source(cell: dict[str, Any]) -> str:
    """A cell's text."""
    return "".join(cell["source"]).strip()


def write_notebook(root: Path, name: str, *texts: str) -> str:
    """Write a notebook below `root`, text that begins with `!` as Markdown; returns its place."""
    make = nbformat.v4
    # JupyterLab forgets them when it runs all cells: no cell that is left out passes for run.
    stored = {"execution_count": 1, "outputs": [make.new_output("stream", text="of yesterday")]}
    cells = [
        make.new_markdown_cell(text) if text.startswith("!") else make.new_code_cell(text, **stored)
        for text in texts
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = make.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    return f"notebooks/{name}.ipynb"


@contextmanager
def open_notebook(lab: Lab, path: str, seconds: float = 120) -> Iterator[Notebook]:
    """A notebook, open and with its kernel connected; `path` is below the server's root."""
    with open_page(lab.folder) as visit:
        visit.page.goto(lab.url(f"/lab/tree/{path}", "&reset"), timeout=1e3 * seconds)
        visit.page.wait_for_function(IS_READY, timeout=1e3 * seconds, polling=200)
        yield Notebook(visit)


# Complaints. JupyterLab 4.6 marks a traceback as it marks stderr; others have a name for it.

RED = ", ".join(f'[data-mime-type$="jupyter.{kind}"]' for kind in ("error", "stderr"))


def complaints(notebook: Notebook) -> list[str]:
    """What a reader would stumble over in a notebook that was run, one line each.

    Errors, text on stderr, cells that did not run, pictures that are missing, errors of
    JavaScript, questions, and everything that was fetched from another machine.
    """
    wrong = [line for k, cell in notebook.code_cells() for line in output_complaints(k, cell)]
    for index, cell in enumerate(notebook.cells()):
        wrong += picture_complaints(index, cell, notebook)
    shown = notebook.page.locator(RED).count()
    wrong += [f"{shown} red outputs are shown"] * (shown > 0)
    wrong += [f"asks: {question}" for question in questions(notebook.page)]
    wrong += [f"fetched from elsewhere: {address}" for address in notebook.visit.foreign]
    return wrong + [f"JavaScript: {error}" for error in notebook.visit.errors]


def output_complaints(index: int, cell: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a code cell's outputs."""
    if not cell["execution_count"]:
        yield f"cell {index}: did not run"
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            yield f"cell {index}: {output['ename']}: {output['evalue']}"
        if output.get("name") == "stderr":
            yield f"cell {index}: stderr: {''.join(output['text'])}"


def picture_complaints(index: int, cell: dict[str, Any], notebook: Notebook) -> Iterator[str]:
    """Which pictures of a cell are not on the page."""
    drawn = sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    expected = drawn if cell["cell_type"] == "code" else source(cell).count("![")
    found = notebook.pictures(index, expected)
    if len(found) < expected:
        yield f"cell {index}: {len(found)} of {expected} pictures"
    for picture in found:
        if picture["width"] == 0:
            yield f"cell {index}: this picture does not load: {picture['alt']}"


def questions(page: Any) -> list[str]:
    """The texts of dialogs and notices on the page."""
    return page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts()
