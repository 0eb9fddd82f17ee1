"""Plant known mistakes in a copy of the package, one at a time, and see which fast test notices.

    python tools/mistakes.py [--jobs N] [WORD ...]

Tries the mistakes whose name or file holds every WORD; all of them without. They are listed in
`tests/mistakes/*.txt`, in paragraphs: a first one with the file and the tests that shall notice,

    file: course_utils/masks.py
    tests: test_masks test_attention::test_attend_hand_worked

and then one for each mistake: its name, the text that it takes away, the text that it puts there.

    a position sees its future
    - device=device).tril()
    + device=device).triu()

The exit status is 0 when a test caught each of them, 1 when one was not caught, 2 when this cannot
be told, because the tests fail without any mistake or the list does not fit the package.
"""

from __future__ import annotations

import argparse
import ast
import gc
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("course_utils", "tests", "data", "pyproject.toml")
LIMIT = 60  # seconds for one mistake


class Mistake(NamedTuple):
    """A wrong text in the place of a right one, and the test files or tests that shall notice."""

    name: str
    file: str
    tests: tuple[str, ...]
    old: str
    new: str

    def planted(self, text: str) -> str:
        """The file's text with the mistake in it."""
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self}: its old text stands {count} times in the file, not once")
        return text.replace(self.old, self.new)

    def test_files(self) -> list[str]:
        """The files of its tests."""
        return [test.split("::")[0] for test in self.tests]

    def __str__(self) -> str:
        return f"{self.file.removeprefix('course_utils/')}: {self.name}"


def read_mistakes(folder: Path) -> list[Mistake]:
    """All mistakes of a folder's lists; see the header of this file."""
    found = []
    for file in sorted(folder.glob("*.txt")):
        about: dict[str, str] = {}
        for paragraph in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
            if lines and lines[0].startswith("file: "):
                about = dict(line.split(": ", 1) for line in lines)
            elif lines:
                old, new = ([ln[2:] for ln in lines[1:] if ln[0] == sign] for sign in "-+")
                if not old or len(old) + len(new) != len(lines) - 1 or len(about) != 2:
                    raise ValueError(f"{file}: this is no mistake:\n{paragraph}")
                tests = tuple(
                    re.sub(r"^\w+", r"tests/\g<0>.py", name) for name in about["tests"].split()
                )
                texts = "\n".join(old), "\n".join(new)
                found.append(Mistake(lines[0], about["file"], tests, *texts))
    return found


class FirstFailure:
    """A pytest plugin that remembers what failed first, and whether it was a test's own body."""

    where, in_a_test = "", False

    def pytest_runtest_logreport(self, report: Any) -> None:
        """After each part of a test: set-up, call, tear-down."""
        if report.failed and not self.where:
            self.where, self.in_a_test = report.nodeid, report.when == "call"


def run_in_child(folder: Path, desk: Path, tests: Iterable[str], sender: Any) -> None:
    """Run test files against the package in `folder`, which this process has not imported yet."""
    import pytest

    gc.freeze()  # pytest collects garbage often: not what the server has loaded
    sys.dont_write_bytecode = False  # compile the copy once, for all
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    output = os.open(desk / "output.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    first = FirstFailure()
    options = ["-x", "-q", "-m", "not slow", "--tb=line", "-p", "no:cacheprovider"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", f"--basetemp={desk / 'tmp'}"]
    status = pytest.main([*options, *tests], plugins=[first])
    sys.stdout.flush()
    sender.send((int(status), first.in_a_test, first.where))


def outcome(context: Any, folder: Path, desk: Path, tests: Iterable[str], limit: float):
    """What the tests say, "passed", "caught", "broken" or "late", and where."""
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=run_in_child, args=(folder, desk, tests, sender), daemon=True)
    child.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            return "late", f"ran too long, more than {limit} s"
        status, in_a_test, where = receiver.recv()
        child.join(LIMIT)  # in peace, so that it can tidy up
    except EOFError:
        status, in_a_test, where = -1, False, ""
    finally:
        child.kill()
        child.join()
    if status == 0:
        return "passed", f"{' '.join(tests)} passed"
    if status == 1 and in_a_test:
        return "caught", where
    text = (desk / "output.txt").read_text(encoding="utf-8", errors="replace")
    return "broken", "\n".join([f"broke outside of a test {where}", *text.splitlines()[-12:]])


def try_mistake(mistake: Mistake, context: Any, clean: Path) -> bool:
    """Plant one mistake in a copy of the clean copy; say in one line what noticed."""
    start, desk = time.perf_counter(), Path(tempfile.mkdtemp(dir=clean.parent))
    shutil.copytree(clean, desk / "copy")
    file = desk / "copy" / mistake.file
    file.write_text(mistake.planted(file.read_text(encoding="utf-8")), encoding="utf-8")
    os.utime(file, (0, 0))  # another time than that of its compiled form
    found, where = outcome(context, desk / "copy", desk, mistake.tests, LIMIT)
    shutil.rmtree(desk, ignore_errors=True)
    verdict = "caught" if found == "caught" else "NOT CAUGHT"
    print(f"{verdict:10} {time.perf_counter() - start:5.1f} s  {mistake} | {where}", flush=True)
    return found == "caught"


def passes(test: str, context: Any, clean: Path) -> bool:
    """Whether a test file passes without any mistake; complain when not."""
    desk = Path(tempfile.mkdtemp(dir=clean.parent))
    found, where = outcome(context, clean, desk, [test], 10 * LIMIT)
    if found != "passed":
        print(f"{test} fails without any mistake: {where}", flush=True)
    return found == "passed"


def libraries(root: Path, files: Iterable[str]) -> list[str]:
    """What files of the repository import from outside: loaded once, for all runs."""
    nodes = [node for f in files for node in ast.walk(ast.parse((root / f).read_text("utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    names |= {"pytest", "doctest", "hypothesis", "beartype"}  # pytest needs them in each run
    if "torch" in names:  # which loads these when they are first used
        names |= {"torch._dynamo", "torch.distributed.tensor", "torch.testing"}
    names |= {plugin.module for plugin in entry_points(group="pytest11")}
    own = {path.stem for folder in (root, root / "tests") for path in folder.iterdir()}
    return sorted(name for name in names if name.split(".")[0] not in own)


def judge(root: Path, mistakes: list[Mistake], jobs: int) -> int:
    """Try mistakes of a repository; the exit status of the script."""
    start, tests = time.perf_counter(), sorted({file for m in mistakes for file in m.test_files()})
    try:
        for mistake in mistakes:
            mistake.planted((root / mistake.file).read_text(encoding="utf-8"))
        needed = libraries(root, {*tests, *(m.file for m in mistakes)})
    except (OSError, ValueError) as error:
        print(error)
        return 2
    os.environ["OMP_NUM_THREADS"] = "1"  # before the first import of torch
    # A server imports the libraries once and each run is forked from it; on Windows each is new.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(needed)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        clean = Path(folder) / "clean"
        clean.mkdir()
        for part in filter(Path.exists, (root / name for name in COPIED)):
            (shutil.copytree if part.is_dir() else shutil.copy)(part, clean / part.name)
        both = {"context": context, "clean": clean}
        if not all(list(pool.map(partial(passes, **both), tests))):
            return 2
        done = f"{len(tests)} test files pass without any mistake"
        print(f"{done}, in {time.perf_counter() - start:.0f} s", flush=True)
        caught = list(pool.map(partial(try_mistake, **both), mistakes))
    seconds = time.perf_counter() - start
    print(f"{sum(caught)} of {len(caught)} mistakes are caught, in {seconds:.0f} s")
    return 0 if all(caught) else 1


def main() -> int:
    """Try the mistakes that the command line chooses."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="parts of a mistake's name or file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    chosen = parser.parse_args()
    mistakes = read_mistakes(chosen.root / "tests" / "mistakes")
    words = [word.lower() for word in chosen.words]
    mistakes = [m for m in mistakes if all(word in str(m).lower() for word in words)]
    if not mistakes:
        parser.error("no mistake has these words")
    return judge(chosen.root.resolve(), mistakes, chosen.jobs)


if __name__ == "__main__":
    sys.exit(main())
