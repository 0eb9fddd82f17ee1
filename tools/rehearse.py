"""Rehearse a reader's first hour: `make rehearse`, before a release or each night.

Copies the committed tree into an empty folder, with an empty home and an empty cache, and runs the
commands that the README prints under "Start", as they stand there. In the place of the reader's
browser stands this script (`--look`): it opens the page that `make lab` opens. The first command
may fetch what it installs; from then on there is no network. At the end there is a table.

Needs Python, git and make only: what the course installs is under test, so nothing here uses it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import url2pathname, urlopen

import offline

ROOT = Path(__file__).resolve().parents[1]
# What a machine needs to reach the package index; all else of the environment is left behind.
KEPT = re.compile(r"PATH|LANG|LC_\w+|SYSTEMROOT|\w+_PROXY|\w*SSL\w*|\w*CA_BUNDLE|PIP_\w+")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPEN_SECONDS = 1800  # for the set-up and the page


class Failed(Exception):
    """A step did not go well; the message is one line for the table."""


def commands(readme: str) -> list[str]:
    r"""The commands under the heading "Start", in their order.

    >>> commands("# A\n\n## Start\n\n```\nmake lab   # opens it\nmake test\n```\n## B\n")
    ['make lab', 'make test']
    """
    found = re.search(r"^## Start\n+```\w*\n(.*?)^```", readme, re.M | re.S)
    lines = [line.split("#")[0].strip() for line in found[1].splitlines()] if found else []
    return [line for line in lines if line]


def copy_committed(source: Path, target: Path) -> None:
    """Unpack the last commit of `source` into a new folder."""
    archive = target.with_suffix(".tar")
    git = ["git", "-C", str(source), "archive", "--output", str(archive), "HEAD"]
    subprocess.run(git, check=True)
    shutil.unpack_archive(archive, target)
    archive.unlink()


def clean_environment(folder: Path) -> dict[str, str]:
    """An environment whose home and caches are empty, and whose browser is `--look`."""
    home = folder / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name.upper())}
    pip_settings = Path.home() / ".config" / "pip" / "pip.conf"
    if pip_settings.exists():  # it may name a mirror, without which nothing can be fetched
        kept.setdefault("PIP_CONFIG_FILE", str(pip_settings))
    words = [sys.executable, __file__, "--look", str(folder / "looked.json")]
    return kept | {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "BROWSER": shlex.join(words) + " %s",
    }


def address_behind(place: str) -> str:
    """Where a browser ends: JupyterLab gives it a small file that leads to the page."""
    if not place.startswith("file:"):
        return place
    text = Path(url2pathname(urlsplit(place).path)).read_text(encoding="utf-8")
    return re.search(r'href="(http[^"]+)"', text)[1].replace("&amp;", "&")


def look(address: str, picture: Path) -> str:
    """Open JupyterLab's page and ask it for the lessons; a picture where there is a browser."""
    parts = urlsplit(address)
    server, token = f"{parts.scheme}://{parts.netloc}", parse_qs(parts.query)["token"][0]
    with urlopen(address, timeout=60) as answer:
        if "jupyter-config-data" not in answer.read().decode():
            raise Failed(f"{parts.path} is not JupyterLab's page")
    with urlopen(f"{server}/api/contents/notebooks?token={token}", timeout=60) as answer:
        names = [entry["name"] for entry in json.load(answer)["content"]]
    lessons = sorted(name for name in names if name.endswith(".ipynb"))
    if not lessons:
        raise Failed("the page lists no lessons")
    photograph(address, picture)
    return f"{parts.path}, lessons: {len(lessons)}"


def photograph(address: str, picture: Path) -> None:
    """Keep a picture of the page, where there is a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        flags += [
            "--window-size=1280,800",
            "--virtual-time-budget=30000",
            f"--screenshot={picture}",
        ]
        subprocess.run([browser, *flags, address], capture_output=True, timeout=120, check=True)


def stop(process: subprocess.Popen) -> None:
    """End a command and all that it started, as Ctrl-C does, and harder if it must be."""
    for kind in ("SIGINT", "SIGTERM", "SIGKILL"):
        if process.poll() is None:
            os.killpg(process.pid, getattr(signal, kind))
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                continue


class Rehearsal:
    """The steps in their order; each leaves a line in the table.

    Parameters
    ----------
    folder : Path
        Empty; everything happens in it.
    source : Path
        The repository whose last commit is rehearsed.
    """

    def __init__(self, folder: Path, source: Path = ROOT) -> None:
        self.source, self.course = source, folder / "course"
        self.looked = folder / "looked.json"
        self.environment = clean_environment(folder)
        self.rows: list[tuple[str, float, str]] = []

    def step(self, name: str, work: Callable[[], str]) -> bool:
        """Do one step and keep its line; whether it went well."""
        print(f"\n== {name}", flush=True)
        begin, well = time.monotonic(), True
        try:
            result = work()
        except (Failed, OSError, subprocess.SubprocessError) as error:
            result, well = f"FAILED: {error}", False
        self.rows.append((name, time.monotonic() - begin, result))
        return well

    def copy(self) -> str:
        """What a reader has after cloning."""
        copy_committed(self.source, self.course)
        return "ok"

    def start(self, line: str, cut: bool) -> subprocess.Popen:
        """Start a command, with or without network."""
        words, environment = shlex.split(line), self.environment
        if cut:
            words, environment = offline.command(words, environment)
        return subprocess.Popen(words, cwd=self.course, env=environment, start_new_session=True)

    def finish(self, line: str, cut: bool) -> str:
        """Run a command to its end."""
        process = self.start(line, cut)
        try:
            if status := process.wait():
                raise Failed(f"exit status {status}")
        finally:
            stop(process)
        return "ok"

    def open(self, line: str, cut: bool) -> str:
        """Run a command that opens a page and stays, until `--look` has told what it saw."""
        self.looked.unlink(missing_ok=True)
        process, end = self.start(line, cut), time.monotonic() + OPEN_SECONDS
        try:
            while not self.looked.exists():
                if process.poll() is not None:
                    raise Failed(f"ended with exit status {process.returncode}")
                if time.monotonic() > end:
                    raise Failed(f"no page after {OPEN_SECONDS} s")
                time.sleep(0.5)
        finally:
            stop(process)
        seen = json.loads(self.looked.read_text())
        if "error" in seen:
            raise Failed(seen["error"])
        return seen["page"]

    def run(self) -> bool:
        """The steps up to the first that fails; whether none did."""
        if not self.step("copy the last commit", self.copy):
            return False
        lines = commands((self.course / "README.md").read_text(encoding="utf-8"))
        # `make lab` stays until it is stopped, so it is tried once more with the network gone.
        tries = [(line, False) for line in lines[:1]]
        tries += [(line, True) for line in lines if line == "make lab" or line != lines[0]]
        return bool(tries) and all(self.try_command(line, cut) for line, cut in tries)

    def try_command(self, line: str, cut: bool) -> bool:
        """Run one command of the README as a step."""
        work = self.open if line == "make lab" else self.finish
        return self.step(f"{line}, network gone" if cut else line, lambda: work(line, cut))

    def table(self) -> str:
        """The steps with their seconds and results."""
        rows = [("step", "seconds", "result")]
        rows += [(name, f"{seconds:.0f}", result) for name, seconds, result in self.rows]
        width = max(len(name) for name, _, _ in rows)
        return "\n".join(f"{name:{width}}  {took:>7}  {result}" for name, took, result in rows)


def main(words: list[str]) -> int:
    """The command line; 0 when the rehearsal went well."""
    if words[:1] == ["--look"]:
        note, place = Path(words[1]), words[2]
        try:
            seen = {"page": look(address_behind(place), note.parent / "page.png")}
        except Exception as error:
            seen = {"error": f"{type(error).__name__}: {error}"}
        note.with_suffix(".part").write_text(json.dumps(seen))
        note.with_suffix(".part").replace(note)
        return 0
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        rehearsal = Rehearsal(Path(folder).resolve())
        well = rehearsal.run()
        if (picture := Path(folder, "page.png")).exists():
            (ROOT / "build").mkdir(exist_ok=True)
            shutil.copy(picture, ROOT / "build" / "rehearsal.png")
            print("\nA picture of the page is in build/rehearsal.png.")
    print(f"\n{rehearsal.table()}\n{'Rehearsed well.' if well else 'The rehearsal FAILED.'}")
    return 0 if well else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
