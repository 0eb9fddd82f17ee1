"""Settings of the test run that every test shares."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))  # the tools import each other, as when `make` runs them


def _one_thread() -> None:
    """One thread for each worker and the kernels it starts: on more, small models are slower."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


_one_thread()

LESSON_RUNS = "test_lesson_runs_as_on_colab"

# Examples in docstrings that take seconds.
SLOW_EXAMPLES = {"course_utils.datasets.translation.load_translation"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the lessons' cells, and skip what needs the real data sets where they are not.

    For several workers: one file's tests stay together, for they share what they have prepared, and
    a notebook's cells need one kernel. The lessons' runs are single and the longest, so they begin.
    """
    missing = pytest.mark.skip(reason="COURSE_DATA_DIR names no folder with the real data sets")
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.notebook)
            item.add_marker(pytest.mark.slow)
        if item.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("data") and not os.environ.get("COURSE_DATA_DIR"):
            item.add_marker(missing)
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
    items.sort(key=lambda item: not item.name.startswith(LESSON_RUNS))


@pytest.fixture(autouse=True)
def _no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in memory. Not for the lessons' kernels: they draw into the notebook."""
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _no_open_figures() -> None:
    """What others have drawn and left open is nothing of this test."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def data_dir() -> Path:
    """The folder of the real data sets; use it in tests marked `data`."""
    return Path(os.environ["COURSE_DATA_DIR"])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for all pages of a module; skips where there is none."""
    from browser import FLAGS, need_browser

    path = need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


def load_tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    return importlib.import_module(name)
