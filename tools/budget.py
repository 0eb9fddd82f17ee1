"""Seconds and memory of the lessons: measure them one by one, and hold them to it.

    python tools/budget.py [LESSON]     # half an hour on a machine that does nothing else

Writes `tests/budget.json`, and the columns *run* and *memory* of the README's table. Each lesson
runs alone, as on Colab (see colab.py): once on two cores, as a reader has it, for seconds and
memory; and once with one thread, as in the tests, for processor seconds. The tests run every lesson
anyway, and compare: a lesson that needs half as much again as its budget fails. Machines differ,
and other work slows them; so processor seconds are counted in units of a loop that is timed beside.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import colab

import notebooks

ROOT = Path(__file__).resolve().parents[1]
BUDGET = ROOT / "tests" / "budget.json"
MOST = 1.5
# As the tests run the lessons, several at a time: more threads than cores only wait for each other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"}


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
    begin = time.process_time()
    small, large, total = torch.ones(16, 16), torch.ones(256, 256), 0
    for step in range(20_000):
        total += step % 7
        if step % 4 == 0:
            small = (small @ small).clamp(max=1.0)
        if step % 100 == 0:
            large = (large @ large).clamp(max=1.0)
    return time.process_time() - begin


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


def measure(lesson: Path, folder: Path, store: Path) -> dict[str, float]:
    """The figures of one lesson, as `budget` gives them, with `loop`, timed beside it."""
    read = colab.run(lesson, folder / "read", store)
    before = loop_seconds()
    tested = colab.run(lesson, folder / "tested", store, ONE_THREAD)
    for run in (read, tested):
        if not run.well:
            raise notebooks.LessonError(f"{lesson.stem} failed:\n{run.text}")
    return {
        "seconds": round(read.seconds),
        "cpu_seconds": round(tested.cpu_seconds),
        "memory": round(max(read.memory, tested.memory), 2),
        "loop": round(min(before, loop_seconds()), 4),
    }


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    if words[1:] or any(word.startswith("-") for word in words):
        print(__doc__)
        return 2
    if not hasattr(os, "wait4"):
        print("Windows does not tell what a process has used: measure on Linux or macOS")
        return 1
    on_cores(2)
    known = budget() if BUDGET.exists() else {}
    try:
        with tempfile.TemporaryDirectory(prefix="budget-", ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            store = colab.snapshot(folder)
            for path in notebooks.lessons(ROOT / "notebooks", *words):
                print(f"{path.stem} ", end="", flush=True)
                known[path.stem] = measure(path, folder / path.stem, store)
                print(known[path.stem], flush=True)
                write(known)
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
