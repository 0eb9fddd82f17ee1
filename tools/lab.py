"""Open JupyterLab on the list of lessons: `python tools/lab.py [more options of JupyterLab]`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(*more: str) -> list[str]:
    """The words that start JupyterLab: the clone is its root, so that lessons find the pictures."""
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        "--LabApp.default_url=/lab/tree/notebooks",
        # No question to any server: a classroom may have no network.
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")  # containers; JupyterLab refuses root otherwise
    return [*words, *more]


def environment() -> dict[str, str]:
    """The reader's environment, with this Python's folder first for `!` lines in notebooks."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return {**os.environ, "PATH": os.pathsep.join(folders)}


if __name__ == "__main__":
    try:
        sys.exit(subprocess.call(command(*sys.argv[1:]), env=environment(), cwd=ROOT))
    except KeyboardInterrupt:
        sys.exit(0)
