"""Run the lessons as Colab does, and measure them.

    python tools/colab.py [LESSON]

Each lesson is copied alone into an empty folder. It runs in an interpreter of its own: there is all
that Colab has (torch, numpy, the libraries), a stand-in for the module `google.colab`, and no
course. So the lesson's own set-up cell has to install the course. Its address is led to a
repository on this machine that holds the files as they are now; nothing comes from a network.
nbval compares the outputs with the stored ones. LESSON is the beginning of a file name: 03.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import links

import notebooks

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = """'''Stands in for the module of this name on Colab: it can be imported, no more.'''
"""
# What would lead the lesson to the clone instead of to what it has installed itself.
LEFT_BEHIND = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MPLBACKEND"}


@dataclass(frozen=True)
class Run:
    """What one lesson's run gave.

    Parameters
    ----------
    well : bool
        Every cell ran, and its output is the stored one.
    text : str
        What nbval said.
    installed : list of str
        The packages that the lesson has installed.
    seconds : float
        On the clock.
    cpu_seconds : float or None
        Of all processors together; None on Windows, which does not tell.
    memory : float or None
        The most that one process held, in GB.
    """

    well: bool
    text: str
    installed: list[str]
    seconds: float
    cpu_seconds: float | None
    memory: float | None


def snapshot(folder: Path, root: Path = ROOT) -> Path:
    """A repository with one commit, the files as they are now, and the tag that links name."""
    store = folder / "course.git"
    git = ["git", "-c", "user.name=course", "-c", "user.email=course@localhost"]
    git += ["-c", "core.autocrlf=false", f"--git-dir={store}", f"--work-tree={root}"]
    quiet = {"check": True, "capture_output": True, "cwd": root}
    subprocess.run([*git[:-1], "init", "-q", "--bare", str(store)], **quiet)
    subprocess.run([*git, "-c", "core.bare=false", "add", "--all"], **quiet)
    subprocess.run([*git, "-c", "core.bare=false", "commit", "-q", "-m", "as it is now"], **quiet)
    subprocess.run([*git[:-1], "tag", links.home(root).ref], **quiet)
    return store


def interpreter(folder: Path) -> Path:
    """A Python that has all packages of this one except the course, and `google.colab`."""
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    own = own_packages(folder)
    # As a plain line, so that this folder's own .pth files, the course's among them, are not read.
    shared = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "installed.pth").write_text("".join(f"{path}\n" for path in sorted(shared)))
    (own / "google" / "colab").mkdir(parents=True)
    (own / "google" / "colab" / "__init__.py").write_text(STAND_IN)
    (own / "on_colab.pth").write_text("import google.colab\n")  # Colab's kernel has it loaded
    return python


def own_packages(folder: Path) -> Path:
    """Where an environment of Python keeps its own packages."""
    names = {"base": str(folder), "platbase": str(folder)}
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    return Path(sysconfig.get_path("purelib", scheme, names))


def environment(store: Path, root: Path = ROOT) -> dict[str, str]:
    """The variables of a lesson's run: git finds the course in `store`, and pip asks nobody."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_BEHIND}
    return kept | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{store.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"{links.GITHUB}/{links.home(root).repository}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the other way round: build with what is here
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def run(lesson: Path, folder: Path, store: Path) -> Run:
    """Run one lesson alone in `folder`, which is empty."""
    place = folder / "content"
    place.mkdir(parents=True)
    shutil.copy(lesson, place)
    python = interpreter(folder / "python")
    before = set(os.listdir(own_packages(folder / "python")))
    words = [str(python), "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "-n", "0"]
    words += ["-c", str(ROOT / "pyproject.toml"), str(place / lesson.name)]
    begin = time.perf_counter()
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment(store),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        status, cpu, memory = wait(process)
        output.seek(0)
        text = output.read()
    after = set(os.listdir(own_packages(folder / "python"))) - before
    seconds = time.perf_counter() - begin
    return Run(status == 0, text, sorted(after - {"__pycache__"}), seconds, cpu, memory)


def wait(process: subprocess.Popen) -> tuple[int, float | None, float | None]:
    """Wait for a process: its status, seconds of all its children's processors, peak in GB."""
    if not hasattr(os, "wait4"):
        return process.wait(), None, None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1e9 if sys.platform == "darwin" else 1e6  # macOS counts bytes, Linux kB
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    if words[1:] or any(word.startswith("-") for word in words):
        print(__doc__)
        return 2
    well = True
    try:
        paths = notebooks.lessons(ROOT / "notebooks", *words)
    except notebooks.LessonError as error:
        print(error, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="colab-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        store = snapshot(folder)
        for path in paths:
            print(f"{path.stem} ", end="", flush=True)
            found = run(path, folder / path.stem, store)
            print(f"{'well' if found.well else 'FAILED'}, {found.seconds:.0f} s", flush=True)
            if not found.well:
                well = False
                print(found.text)
    return 0 if well else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
