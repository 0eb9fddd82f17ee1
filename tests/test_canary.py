"""The canary: its arguments, versions and table, on made-up versions and results."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import canary
import pytest
import setup_venv
from conftest import ROOT

OWNERS = {"transformers": "transformers", "sklearn": "scikit-learn", "pluggy": "pluggy"}
OWNERS |= {
    "course_utils": "course-utils",
    "warnings": "warnings",
    "py": "pytest",
    "evaluate": "evaluate",
}
XML = r"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase classname="tests.test_a" name="test_fine" time="0.1"/>
<testcase classname="tests.test_a" name="test_skipped"><skipped message="no browser"/></testcase>
<testcase classname="tests.test_a" name="test_inside">
<failure message="TypeError: got &lt;int&gt;">course_utils/a.py:3: in f
    model.generate()
build/canary/.venv/lib/python3.11/site-packages/sklearn/wraps.py:5: in wrapped
build/canary/.venv/lib/python3.11/site-packages/transformers/utils/x.py:9: in generate
    raise TypeError
E   TypeError: got &lt;int&gt;
build/canary/.venv/lib/python3.11/site-packages/pluggy/_hooks.py:9: TypeError</failure></testcase>
<testcase classname="notebooks.03" name="Cell 4">
<failure message="Cell execution failed">#x1B[31mFutureWarning#x1B[39m: old
File C:\v\Lib\site-packages\sklearn\base.py:12, in fit</failure></testcase>
<testcase classname="" name="tests.test_b">
<error message="collection failure">tests/test_b.py:1: in &lt;module&gt;
E   ImportError: cannot import name 'AutoX' from 'transformers'</error></testcase>
<testcase classname="tests.test_c" name="test_ours">
<failure message="assert 1 == 2">tests/test_c.py:1: AssertionError
E   AssertionError: a.py: evaluate warnings.warn</failure></testcase>
</testsuite></testsuites>
"""


def test_failures_are_laid_at_a_library_s_door() -> None:
    count, bad = canary.failures(XML, OWNERS)
    assert count == 6
    assert bad == [
        ("tests.test_a::test_inside", "TypeError: got <int>", "transformers"),
        ("notebooks.03::Cell 4", "FutureWarning: old", "scikit-learn"),
        (
            "tests.test_b",
            "ImportError: cannot import name 'AutoX' from 'transformers'",
            "transformers",
        ),
        (
            "tests.test_c::test_ours",
            "AssertionError: a.py: evaluate warnings.warn",
            canary.COURSE,
        ),
    ]


def test_error_line_is_short() -> None:
    assert canary.error_line("E   ValueError: " + "x" * 999).endswith("xxx...")
    assert len(canary.error_line("x" * 999)) == 160
    assert canary.error_line("\n") == "no message"


def test_table_names_what_we_ask_for_and_what_changed() -> None:
    tested = {"numpy": "2.4.6", "torch": "2.13.0", "six": "1.0", "idna": "3.9", "gone": "1.0"}
    now = {"numpy": "2.10.0", "torch": "2.13.0+cpu", "six": "1.0", "idna": "3.10", "fresh": "1"}
    bad = [canary.Failure("a", "b", "idna"), canary.Failure("c", "d", "fresh")]
    assert canary.version_table(tested, now, ["torch", "numpy", "gone"], bad).splitlines()[2:] == [
        "| gone | 1.0 |  | missing |  |",
        "| numpy | 2.4.6 | 2.10.0 | newer |  |",
        "| torch | 2.13.0 | 2.13.0+cpu |  |  |",
        "| fresh |  | 1 | not in the pins | 1 |",
        "| idna | 3.9 | 3.10 | newer | 1 |",
    ]


def test_report_puts_the_worst_library_first() -> None:
    bad = [canary.Failure(test, "went wrong", name) for test, name in ["ax", "by", "cy"]]
    text = canary.report("| table |", 9, bad, "Fast.")
    assert text.startswith("# The newest versions\n\n3 of 9 tests failed. Fast.\n\n| table |\n\n")
    assert text.endswith(
        "## y: 2\n\n- `b`: went wrong\n- `c`: went wrong\n\n## x: 1\n\n- `a`: went wrong\n"
    )
    assert "All 9 tests passed." in canary.report("", 9, [], "")


def test_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(canary)
    assert result.attempted >= 3
    assert result.failed == 0


@pytest.mark.parametrize("wrong", ["torch", "torch = 2", "2.13.0", ""])
def test_keep_without_version_is_refused(wrong: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        canary.arguments(["--keep", wrong])
    assert end.value.code == 2
    assert f"such as torch==2.13.0, not {wrong!r}" in capsys.readouterr().err


def test_keep_may_come_twice() -> None:
    options = canary.arguments(["--keep", "torch==2.13.0", "--fast", "--keep", "new<2"])
    assert options.fast and not options.pre
    assert canary.wanted(["torch", "numpy"], options.keep) == ["torch==2.13.0", "numpy", "new<2"]


class Flight:
    """A canary that installs nothing: what it would call is recorded."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.installed, self.tested = folder / "canary", [], []
        self.status, self.results = 0, '<testsuite><testcase name="a"/></testsuite>'
        self.stops: BaseException | None = None
        monkeypatch.setattr(canary, "CANARY", self.folder)
        for name in ("make_venv", "quiet_notebooks"):
            monkeypatch.setattr(setup_venv, name, lambda root: None)
        monkeypatch.setattr(setup_venv, "pip", lambda root, *words: self.installed.append(words))
        monkeypatch.setattr(setup_venv, "venv_python", lambda venv: sys.executable)
        monkeypatch.setattr(canary.subprocess, "call", self.call)

    def call(self, words: list[str], **settings: object) -> int:
        """Stand in for pytest."""
        self.tested = words
        if self.stops is not None:
            raise self.stops
        if self.results:
            (self.folder / "tests.xml").write_text(self.results, encoding="utf-8")
        return self.status

    def report(self) -> str:
        """The report; empty when there is none."""
        path = self.folder / "report.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flight:
    """A canary in a folder of its own, with the report of an earlier run."""
    made = Flight(tmp_path, monkeypatch)
    made.folder.mkdir()
    (made.folder / "report.md").write_text("of an earlier run")
    return made


def test_canary_takes_names_without_versions(flight: Flight) -> None:
    assert canary.main(["--keep", "torch==2.13.0"]) == 0
    newest, course = flight.installed
    assert {"numpy", "transformers", "jupyterlab", "torch==2.13.0"} < set(newest)
    assert [word for word in newest if "=" in word] == ["torch==2.13.0"]
    assert "--pre" not in newest
    assert course[-1] == str(ROOT)
    assert "All 1 tests passed. All tests, Python" in flight.report()
    # The suite of `make test`, without network.
    assert flight.tested[1] == "tools/offline.py"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(PYTEST) tests course_utils $(ARGS)" in makefile
    assert flight.tested[-2:] == ["tests", "course_utils"] and "not slow" not in flight.tested


def test_canary_runs_the_fast_tests_when_asked(flight: Flight) -> None:
    assert canary.main(["--fast", "--pre", "--jobs", "2"]) == 0
    assert "--pre" in flight.installed[0]
    assert flight.tested[-4:] == ["-m", "not slow", "tests", "course_utils"]
    assert flight.tested[flight.tested.index("-n") + 1] == "2"


def test_canary_ends_with_1_when_something_broke(flight: Flight) -> None:
    flight.status, flight.results = 1, XML
    assert canary.main([]) == 1
    assert "4 of 6 tests failed." in flight.report()


def test_canary_says_when_the_tests_do_not_start(
    flight: Flight, capsys: pytest.CaptureFixture
) -> None:
    flight.status, flight.results = 4, ""
    assert canary.main([]) == 1
    assert "pytest ended with status 4 before any test" in capsys.readouterr().err
    assert flight.report() == ""


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (KeyboardInterrupt(), "Stopped: there is no report"),
        (setup_venv.NetworkError("check the network"), "check the network"),
    ],
)
def test_stopped_canary_leaves_no_report(
    flight: Flight, stop: BaseException, told: str, capsys: pytest.CaptureFixture
) -> None:
    flight.stops = stop
    assert canary.main([]) == 1
    assert capsys.readouterr().err == f"\n{told}" + (
        ". The next run begins anew.\n" if "Stopped" in told else "\n"
    )
    assert flight.report() == ""
