"""The rehearsal, on a course of three files that needs no set-up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rehearse
from conftest import ROOT

needs_make = pytest.mark.skipif(
    not shutil.which("make") or not shutil.which("git"), reason="make or git is not on the path"
)

README = """# A course

## Start

```
make lab     # opens a page
make test    # tries it
```

## More

```
make more
```
"""
MAKEFILE = f"lab:\n\t@{sys.executable} lab.py\ntest:\n\t@{sys.executable} try.py\n"
# Says what it found in its environment, opens a page as JupyterLab does, and stays.
LAB = """
import http.server, json, os, pathlib, sys, threading, webbrowser
home = pathlib.Path.home()
assert not list(home.iterdir()) and "COURSE_SECRET" not in os.environ
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        listing = {"content": [{"name": "01_a.ipynb"}, {"name": "note.txt"}]}
        api = self.path.startswith("/api/contents/notebooks?token=secret")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(listing).encode() if api else b"jupyter-config-data")
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
leads = pathlib.Path("leads.html").resolve()
leads.write_text(f'<a href="http://127.0.0.1:{server.server_port}/lab/tree?a=1&amp;token=secret">')
webbrowser.open(leads.as_uri())
threading.Event().wait()
"""
TRY = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error:
    raise SystemExit(0 if error.errno == 101 or isinstance(error, socket.gaierror) else 9)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small repository with one commit, and one file that is not in it."""
    folder = tmp_path / "source"
    folder.mkdir()
    files = {"README.md": README, "Makefile": MAKEFILE, "lab.py": LAB, "try.py": TRY}
    for name, text in files.items():
        (folder / name).write_text(text)
    commit(folder)
    (folder / "forgotten.py").write_text("")
    return folder


def commit(folder: Path) -> None:
    """Commit all files of a folder."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *words], check=True)


@pytest.fixture
def rehearsal(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rehearse.Rehearsal:
    """The rehearsal of that repository, without a real browser."""
    monkeypatch.setenv("COURSE_SECRET", "left behind")
    monkeypatch.setattr(rehearse, "BROWSERS", ())
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("rehearse.py", "offline.py"):
        text = (ROOT / "tools" / name).read_text(encoding="utf-8")
        (tools / name).write_text(text.replace('"chromium', '"no-').replace('"google', '"no-'))
    shutil.copytree(ROOT / "tools" / "no_network", tools / "no_network")
    monkeypatch.setattr(rehearse, "__file__", str(tools / "rehearse.py"))
    folder = tmp_path / "empty"
    folder.mkdir()
    return rehearse.Rehearsal(folder, source)


def results(rehearsal: rehearse.Rehearsal) -> list[tuple[str, str]]:
    return [(name, result) for name, _, result in rehearsal.rows]


@needs_make
def test_rehearsal_does_what_the_readme_says(rehearsal: rehearse.Rehearsal) -> None:
    assert rehearsal.run(), rehearsal.table()
    page = "/lab/tree, lessons: 1"
    assert results(rehearsal) == [
        ("copy the last commit", "ok"),
        ("make lab", page),
        ("make lab, network gone", page),
        ("make test, network gone", "ok"),
    ]
    assert not (rehearsal.course / "forgotten.py").exists()
    assert [line.split()[-1] for line in rehearsal.table().splitlines()[:2]] == ["result", "ok"]


@pytest.mark.slow
@needs_make
@pytest.mark.parametrize(
    ("name", "text", "step", "complaint"),
    [
        ("lab.py", "raise SystemExit(3)", "make lab", "FAILED: ended with exit status 2"),
        ("lab.py", LAB.replace("-config-", "-"), "make lab", "is not JupyterLab's page"),
        ("lab.py", LAB.replace("01_a.ipynb", "a"), "make lab", "the page lists no lessons"),
        ("try.py", "raise SystemExit(1)", "make test, network gone", "FAILED: exit status 2"),
    ],
    ids=["ends", "other page", "no lessons", "red"],
)
def test_rehearsal_fails_where_a_reader_would(
    rehearsal: rehearse.Rehearsal, name: str, text: str, step: str, complaint: str
) -> None:
    (rehearsal.source / name).write_text(text)
    commit(rehearsal.source)
    assert not rehearsal.run()
    assert results(rehearsal)[-1][0] == step and complaint in results(rehearsal)[-1][1]


@needs_make
def test_rehearsal_leaves_no_process(rehearsal: rehearse.Rehearsal) -> None:
    import psutil

    assert rehearsal.run()
    folder = str(rehearsal.course)
    left = [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(folder)]
    assert left == []


def test_commands_are_those_of_the_readme() -> None:
    assert rehearse.commands(README) == ["make lab", "make test"]
    real = rehearse.commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert real == ["make lab", "make test"]
    assert rehearse.commands("# no start") == []


def test_environment_keeps_what_the_package_index_needs_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.example")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    kept = rehearse.clean_environment(tmp_path)
    assert kept["https_proxy"] and kept["PIP_INDEX_URL"] and kept["PATH"] == os.environ["PATH"]
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "COURSE_DATA_DIR"} & kept.keys()
    assert os.listdir(kept["HOME"]) == []


def test_rehearsal_of_an_empty_commit_fails(tmp_path: Path) -> None:
    assert not rehearse.Rehearsal(tmp_path, tmp_path / "nothing").run()
