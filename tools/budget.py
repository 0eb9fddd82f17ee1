"""Seconds and memory of the lessons: measure them one by one, and hold them to it.

    python tools/budget.py     # half an hour on a machine that does nothing else

Writes `tests/budget.json`, and the columns *run* and *memory* of the README's table. Each lesson
runs as on Colab (see colab.py): once alone on two cores, as a reader has it, for seconds and
memory; and once with other lessons beside it, as in the tests, for processor seconds
(cores that share their parts need up to twice as many when all are busy). The tests run every
lesson anyway, and compare: a lesson that needs half as much again as its budget fails. Machines
differ, so processor seconds are counted in units of a loop that is timed beside the lesson.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import colab

import notebooks

ROOT = Path(__file__).resolve().parents[1]
BUDGET = ROOT / "tests" / "budget.json"
MOST = 1.5
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def loop_seconds(tries: int = 5) -> float:
    """Processor seconds of a fixed piece of work, the best try."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return min(one_loop(torch) for _ in range(tries))
    finally:
        torch.set_num_threads(before)


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
        os.sched_setaffinity(0, sorted(CORES)[:number])


def checked(lesson: Path, run: colab.Run) -> colab.Run:
    """The run, if all is well in it."""
    if not run.well:
        raise notebooks.LessonError(f"{lesson.stem} failed:\n{run.text}")
    return run


def alone(lesson: Path, folder: Path, store: Path) -> dict[str, float]:
    """Seconds and memory of a lesson that has two cores for itself."""
    run = checked(lesson, colab.run(lesson, folder / f"{lesson.stem}_alone", store))
    return {"seconds": round(run.seconds), "memory": round(run.memory, 2)}


def beside(lesson: Path, folder: Path, store: Path) -> dict[str, float]:
    """Processor seconds of a lesson among others, and of the loop."""
    run = checked(lesson, colab.run(lesson, folder / f"{lesson.stem}_beside", store))
    return {"cpu_seconds": round(run.cpu_seconds), "loop": round(loop_seconds(), 4)}


def measure(lessons: list[Path], folder: Path) -> dict[str, dict[str, float]]:
    """The figures of all lessons, as `budget` gives them."""
    store, found = colab.snapshot(folder), {}
    on_cores(2)
    for path in lessons:
        print(f"{path.stem} alone: ", end="", flush=True)
        found[path.stem] = alone(path, folder, store)
        print(found[path.stem], flush=True)
    on_cores(len(CORES))
    with ThreadPoolExecutor(len(CORES)) as pool:
        runs = pool.map(lambda path: beside(path, folder, store), lessons)
        for path, more in zip(lessons, runs, strict=True):
            found[path.stem] |= more
            print(f"{path.stem} beside others: {more}", flush=True)
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
