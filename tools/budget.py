"""Seconds and memory of the lessons: measure them one by one, and hold them to it.

    python tools/budget.py     # a quarter of an hour on a machine that does nothing else

Writes `tests/budget.json`, and the columns *run* and *memory* of the README's table. Each lesson
runs as on Colab (see colab.py), alone on two cores, as a reader has it. The tests run every lesson
anyway, among others, and compare: a lesson that needs half as much again as its budget fails.
Machines differ, and so do hours: processor seconds are counted in units of a small loop that is
timed now and then while the lesson runs.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import colab

import notebooks

ROOT = Path(__file__).resolve().parents[1]
BUDGET = ROOT / "tests" / "budget.json"
MOST = 1.5


class Loop:
    """Time a small piece of work now and then, from entering to leaving.

    Parameters
    ----------
    pause : float
        Seconds between two tries.

    Attributes
    ----------
    seconds : float
        Processor seconds of a try, the median; there once it is left.
    """

    def __init__(self, pause: float = 5.0) -> None:
        self.pause, self.tries, self.over = pause, [], threading.Event()
        self.thread = threading.Thread(target=self._try, daemon=True)

    def _try(self) -> None:
        import torch

        torch.set_num_threads(1)
        one_loop(torch)  # the first one is slower
        while True:
            self.tries.append(one_loop(torch))
            if self.over.wait(self.pause):
                return

    def __enter__(self) -> Loop:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.seconds = statistics.median(self.tries)


def one_loop(torch) -> float:
    """One try: Python, small and large matrices."""
    begin = time.thread_time()
    small, large, total = torch.ones(16, 16), torch.ones(256, 256), 0
    for step in range(20_000):
        total += step % 7
        if step % 4 == 0:
            small = (small @ small).clamp(max=1.0)
        if step % 100 == 0:
            large = (large @ large).clamp(max=1.0)
    return time.thread_time() - begin


def budget() -> dict:
    """What was measured last, for each lesson: see `measure`."""
    return json.loads(BUDGET.read_text(encoding="utf-8"))


def complaints(lesson: str, run: colab.Run, loop: float, limits: dict) -> Iterator[str]:
    """What a run took too much of.

    Parameters
    ----------
    lesson : str
        The notebook's name without its ending.
    run : colab.Run
    loop : float
        Seconds of the loop beside the run.
    limits : dict
        As `budget` gives it.
    """
    if (own := limits.get(lesson)) is None:
        yield f"{lesson} has no budget: make budget"
        return
    if run.cpu_seconds is not None:
        allowed = MOST * own["cpu_seconds"] * loop / own["loop"]
        if run.cpu_seconds > allowed:
            yield f"{lesson}: {run.cpu_seconds:.0f} processor seconds, at most {allowed:.0f}"
    if run.memory is not None and run.memory > MOST * own["memory"]:
        yield f"{lesson}: {run.memory:.1f} GB of memory, at most {MOST * own['memory']:.1f}"


def with_figures(readme: str, limits: dict) -> str:
    """The README with the lessons' seconds and memory in its table."""
    for lesson, own in limits.items():
        seconds = -(-own["seconds"] // 10) * 10  # up to the next ten
        row = re.compile(
            rf"^(\|[^|]*\| \[.*?\]\(notebooks/{lesson}\.ipynb\).*?\| )[^|]* s \| [^|]* GB \|", re.M
        )
        readme = row.sub(rf"\g<1>{seconds:.0f} s | {own['memory']:.1f} GB |", readme)
    return readme


def on_cores(number: int) -> None:
    """Keep this process and what it starts on some cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])


def measure(lessons: list[Path], folder: Path) -> dict[str, dict[str, float]]:
    """The figures of all lessons, as `budget` gives them."""
    store, found = colab.snapshot(folder), {}
    on_cores(2)
    for path in lessons:
        print(f"{path.stem}: ", end="", flush=True)
        with Loop() as loop:
            run = colab.run(path, folder / path.stem, store)
        if not run.well:
            raise notebooks.LessonError(f"{path.stem} failed:\n{run.text}")
        found[path.stem] = {
            "seconds": round(run.seconds),
            "cpu_seconds": round(run.cpu_seconds),
            "memory": round(run.memory, 2),
            "loop": round(loop.seconds, 4),
        }
        print(found[path.stem], flush=True)
    return found


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    if words:
        print(__doc__)
        return 2
    if not hasattr(os, "wait4"):
        print("Windows does not tell what a process has used: measure on Linux or macOS")
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="budget-", ignore_cleanup_errors=True) as name:
            write(measure(notebooks.lessons(ROOT / "notebooks"), Path(name).resolve()))
    except notebooks.LessonError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"written to {BUDGET.relative_to(ROOT).as_posix()} and README.md")
    return 0


def write(known: dict) -> None:
    """Store the figures, and put them into the README."""
    notebooks.write(BUDGET, json.dumps(known, indent=2, sort_keys=True) + "\n")
    readme = ROOT / "README.md"
    notebooks.write(readme, with_figures(readme.read_text(encoding="utf-8"), known))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
