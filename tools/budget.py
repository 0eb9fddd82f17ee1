"""Seconds and memory of the lessons: measure them one by one, and hold them to it.

    python tools/budget.py [--cores 2]     # an hour's quarter on a machine that does nothing else

Writes `tests/budget.json`, and the columns *run* and *memory* of the README's table. Each lesson
runs alone, on two cores, as on Colab (see colab.py). The tests run every lesson anyway, and
compare: a lesson that needs half as much again as its budget fails. Machines differ, and other work
slows them; so processor seconds are compared, in units of a loop that is timed beside the lesson.
"""

from __future__ import annotations

import argparse
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
    """What was measured last: `loop` in seconds, and each lesson's figures."""
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
    if (own := limits["lessons"].get(lesson)) is None:
        yield f"{lesson} has no budget: make budget"
        return
    if run.cpu_seconds is not None:
        allowed = MOST * own["cpu_seconds"] * loop / limits["loop"]
        if run.cpu_seconds > allowed:
            yield f"{lesson}: {run.cpu_seconds:.0f} processor seconds, at most {allowed:.0f}"
    if run.memory is not None and run.memory > MOST * own["memory"]:
        yield f"{lesson}: {run.memory:.1f} GB of memory, at most {MOST * own['memory']:.1f}"


def with_figures(readme: str, limits: dict) -> str:
    """The README with the lessons' seconds and memory in its table."""
    for lesson, own in limits["lessons"].items():
        seconds = -(-own["seconds"] // 10) * 10  # up to the next ten
        row = re.compile(
            rf"^(\|[^|]*\| \[.*?\]\(notebooks/{lesson}\.ipynb\).*?\| )[^|]* s \| [^|]* GB \|", re.M
        )
        readme = row.sub(rf"\g<1>{seconds:.0f} s | {own['memory']:.1f} GB |", readme)
    return readme


def measure(paths: list[Path], folder: Path) -> dict:
    """Run the lessons one after another; as `budget` gives it."""
    store, figures, loops = colab.snapshot(folder), {}, [loop_seconds()]
    for path in paths:
        print(f"{path.stem} ", end="", flush=True)
        run = colab.run(path, folder / path.stem, store)
        if not run.well:
            print(f"FAILED\n{run.text}")
            raise SystemExit(1)
        figures[path.stem] = {
            "seconds": round(run.seconds),
            "cpu_seconds": round(run.cpu_seconds),
            "memory": round(run.memory, 2),
        }
        loops.append(loop_seconds())
        print(figures[path.stem], flush=True)
    return {"loop": round(sorted(loops)[len(loops) // 2], 4), "lessons": figures}


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2, help="how many the lessons may use")
    chosen = parser.parse_args(words)
    if not hasattr(os, "wait4"):
        print("Windows does not tell what a process has used: measure on Linux or macOS")
        return 1
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: chosen.cores])
    with tempfile.TemporaryDirectory(prefix="budget-", ignore_cleanup_errors=True) as name:
        found = measure(notebooks.lessons(ROOT / "notebooks"), Path(name).resolve())
    notebooks.write(BUDGET, json.dumps(found, indent=2) + "\n")
    readme = ROOT / "README.md"
    notebooks.write(readme, with_figures(readme.read_text(encoding="utf-8"), found))
    print(f"written to {BUDGET.relative_to(ROOT).as_posix()} and README.md")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
