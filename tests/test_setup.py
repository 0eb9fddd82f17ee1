"""The way in: `make`, the set-up of `.venv`, the pins, the package's metadata, `make lab`."""

from __future__ import annotations

import ast
import collections
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, load_tool
from packaging.requirements import Requirement

SETUP_FILES = ("Makefile", "requirements.txt", "requirements-tested.txt", "pyproject.toml")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split())

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not on the path")


def make(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run make in a folder, as a reader does: without the settings of this run."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *words], cwd=folder, env=keep, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that the set-up needs, in a folder of their own."""
    for name in SETUP_FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    return tmp_path


@needs_make
def test_help_is_the_default_and_explains_each_target() -> None:
    told = make(ROOT).stdout
    assert told == make(ROOT, "help").stdout
    explained = set(re.findall(r"^  make ([a-z-]+) +\S+ \S+", told, re.M))
    assert explained == TARGETS


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"]
)
def test_documents_name_targets_that_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    # Commands only: at the start of a line of code, in back quotes, or after `step`.
    named = set(re.findall(r"(?:^\s*(?:run: |step |bash -c )?|`|\$ )make ([a-z-]+)", text, re.M))
    assert named <= TARGETS


def test_old_pythons_can_read_the_setup() -> None:
    source = (ROOT / "tools" / "setup_venv.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 4))
    new = ast.JoinedStr | ast.NamedExpr | ast.AnnAssign
    assert not [node for node in ast.walk(tree) if isinstance(node, new)]


@needs_make
def test_missing_python_is_said(clone: Path) -> None:
    run = make(clone, "setup", "PYTHON=no-such-python")
    assert run.returncode != 0
    assert "No 'no-such-python' found: install Python 3.10 or newer" in run.stderr
    assert not (clone / ".venv").exists()


@needs_make
@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_old_python_is_said(clone: Path) -> None:
    # A stand-in that runs the script with this Python, which takes itself for an old one.
    fake = clone / "oldpython"
    code = "import sys, runpy; sys.version_info = (3, 8, 18); sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    fake.chmod(0o755)
    run = make(clone, "setup", f"PYTHON={fake}")
    assert run.returncode != 0
    assert "The course needs Python 3.10 or newer, but" in run.stderr
    assert "is Python 3.8.18:" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (clone / ".venv").exists()


class Machine:
    """A set-up on a stand-in machine: what it calls is recorded and nothing is installed."""

    def __init__(self, tool: ModuleType, root: Path) -> None:
        self.tool, self.root = tool, str(root)
        self.calls: list[list[str]] = []
        self.answers: dict[str, tuple[int, list[str]]] = {}
        self.killed_at = ""

    def run(self, command: list[str], root: str) -> tuple[int, list[str]]:
        """Stand in for a command; `answers` decides how it ends."""
        self.calls.append(command)
        words = " ".join(command)
        if self.killed_at and self.killed_at in words:
            raise SystemError("killed")
        if "-m venv" in words:
            python = Path(self.tool.venv_python(command[-1]))
            python.parent.mkdir(parents=True)
            python.write_text("")
        return next((end for key, end in self.answers.items() if key in words), (0, []))

    def ensure(self) -> list[str]:
        """Run the set-up; the short names of the steps that it took."""
        self.calls.clear()
        self.tool.ensure(self.root)
        return self.steps()

    def steps(self) -> list[str]:
        """The short names of the steps that were taken."""
        names = {
            "-m venv": "venv",
            "-r requirements": "pins",
            "-m compileall": "compile",
            "-e .": "package",
            "-c import": "try",
        }
        return [
            next(name for key, name in names.items() if key in " ".join(command))
            for command in self.calls
        ]


@pytest.fixture
def machine(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A stand-in machine with room on its disk."""
    tool = load_tool("setup_venv")
    stand_in = Machine(tool, clone)
    monkeypatch.setattr(tool, "call", lambda command, root: stand_in.run(command, root)[0])
    monkeypatch.setattr(tool, "call_showing", stand_in.run)
    set_free(monkeypatch, tool, 50e9)
    return stand_in


def set_free(monkeypatch: pytest.MonkeyPatch, tool: ModuleType, free: float) -> None:
    """Let the disk have so many bytes free."""
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(tool.shutil, "disk_usage", lambda path: usage(1e12, 0, free))


WHOLE = ["venv", "pins", "compile", "package", "try"]


def test_setup_is_done_once(machine: Machine) -> None:
    assert machine.ensure() == WHOLE
    assert machine.ensure() == []


def test_setup_killed_half_way_begins_anew(machine: Machine) -> None:
    machine.killed_at = "-r requirements"
    with pytest.raises(SystemError):
        machine.ensure()
    left = Path(machine.root, ".venv", "half-written")
    left.write_text("")
    machine.killed_at = ""
    assert machine.ensure() == WHOLE
    assert not left.exists()
    assert machine.ensure() == []


def test_setup_mends_new_pins_in_place(machine: Machine) -> None:
    machine.ensure()
    pins = Path(machine.root, "requirements.txt")
    pins.write_text(pins.read_text().replace("torch==2.13.0", "torch==2.13.1"))
    # Killed while mending: what is there cannot be trusted.
    machine.killed_at = "-r requirements"
    with pytest.raises(SystemError):
        machine.ensure()
    machine.killed_at = ""
    assert machine.ensure() == WHOLE
    pins.write_text(pins.read_text() + "# a comment\n")
    assert machine.ensure() == WHOLE[1:]


def test_setup_ignores_tool_settings_and_line_ends(machine: Machine) -> None:
    machine.ensure()
    settings = Path(machine.root, "pyproject.toml")
    settings.write_bytes(settings.read_bytes().replace(b"line-length = 100", b"line-length = 99"))
    assert machine.ensure() == []
    settings.write_bytes(settings.read_bytes().replace(b"\n", b"\r\n"))
    assert machine.ensure() == []
    settings.write_bytes(settings.read_bytes().replace(b"torch>=", b"torch>"))
    assert machine.ensure() == WHOLE[1:]


def test_setup_notices_a_moved_folder(machine: Machine, tmp_path: Path) -> None:
    machine.ensure()
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    shutil.copytree(machine.root, moved)
    machine.root = str(moved)
    assert machine.ensure() == WHOLE


def test_setup_goes_on_after_the_network_failed(machine: Machine) -> None:
    machine.answers["-r requirements"] = (1, ["ERROR: Connection: NewConnectionError(...)\n"])
    with pytest.raises(machine.tool.SetupError, match="check the network or the proxy"):
        machine.ensure()
    assert machine.steps() == WHOLE[:2]
    machine.answers.clear()
    assert machine.ensure() == WHOLE[1:]
    assert machine.ensure() == []


def test_setup_says_when_the_disk_is_full(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_free(monkeypatch, machine.tool, 2.9e9)
    with pytest.raises(machine.tool.SetupError, match=r"has 2\.9 GB free, .* needs about 3 GB"):
        machine.ensure()
    assert machine.steps() == []
    assert not Path(machine.root, ".venv").exists()
    # A complete environment needs no more room.
    set_free(monkeypatch, machine.tool, 3.1e9)
    machine.ensure()
    set_free(monkeypatch, machine.tool, 0)
    assert machine.ensure() == []


def test_setup_says_when_the_disk_fills_up(machine: Machine) -> None:
    machine.answers["-r requirements"] = (1, ["ERROR: [Errno 28] No space left on device\n"])
    with pytest.raises(machine.tool.SetupError, match="The disk became full while pip"):
        machine.ensure()
    machine.answers.clear()
    assert machine.ensure() == WHOLE


def test_setup_says_when_a_step_fails(machine: Machine) -> None:
    for key, words in {
        "-m venv": "apt install python3-venv",
        "-e .": "its last lines above say why",
        "-c import": "do not load",
    }.items():
        machine.answers = {key: (1, ["something else\n"])}
        with pytest.raises(machine.tool.SetupError, match=words):
            machine.ensure()
        assert not machine.tool.is_ready(machine.root)
    machine.answers = {"-r req": (1, ["ERROR: No matching distribution found for torch\n"])}
    with pytest.raises(machine.tool.SetupError, match="found no file of a pinned version"):
        machine.ensure()


def test_setup_leaves_no_question_in_jupyterlab(machine: Machine) -> None:
    machine.ensure()
    settings = Path(machine.root, ".venv/share/jupyter/lab/settings/overrides.json")
    name = "@jupyterlab/apputils-extension:notification"
    assert json.loads(settings.read_text())[name] == {"fetchNews": "false"}


# Pins and metadata.


def requirements(name: str) -> Iterator[Requirement]:
    """The requirements in a file."""
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield Requirement(line)


def plain(name: str) -> str:
    """A distribution's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def exact(requirement: Requirement) -> str:
    """The one version that a pin allows."""
    (pin,) = requirement.specifier
    assert pin.operator == "=="
    return pin.version


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_pins_are_recorded(python: str) -> None:
    where = {"python_version": python}
    tested = {
        plain(r.name): exact(r)
        for r in requirements("requirements-tested.txt")
        if r.marker is None or r.marker.evaluate(where)
    }
    for requirement in requirements("requirements.txt"):
        if requirement.marker is None or requirement.marker.evaluate(where):
            assert tested[plain(requirement.name)] == exact(requirement)
    assert exact(next(r for r in requirements("requirements.txt") if r.name == "torch")) == "2.13.0"


def test_pins_name_each_package_once_for_each_python() -> None:
    for python in ("3.10", "3.11", "3.13"):
        for name in ("requirements.txt", "requirements-tested.txt"):
            found = [
                plain(r.name)
                for r in requirements(name)
                if r.marker is None or r.marker.evaluate({"python_version": python})
            ]
            assert sorted(found) == sorted(set(found))


def test_pins_name_no_server() -> None:
    for name in ("requirements.txt", "requirements-tested.txt", "tools/setup_venv.py", "Makefile"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links|@ file:", text), name


def project() -> list[Requirement]:
    """The ranges in the package's metadata."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.M | re.S)[1]
    return [Requirement(words) for words in re.findall(r'"([^"]+)"', block)]


def test_ranges_admit_the_pins_and_what_colab_has() -> None:
    pinned = {plain(r.name): exact(r) for r in requirements("requirements.txt")}
    colab = {"torch": "2.6.0+cu124", "numpy": "1.26.4", "transformers": "4.53.2"}
    ranges = {plain(r.name): r.specifier for r in project()}
    assert set(colab) <= set(ranges)
    for name, specifier in ranges.items():
        assert specifier.contains(pinned[name]), name
        assert not {part.operator for part in specifier} & {"==", "<", "<=", "~="}, name
        if name in colab:
            assert specifier.contains(colab[name]), name


IN_VENV = Path(sys.prefix).resolve() == (ROOT / ".venv").resolve()


@pytest.mark.skipif(not IN_VENV, reason="the tests run in another environment than .venv")
def test_installed_versions_are_the_pins() -> None:
    for requirement in requirements("requirements.txt"):
        if requirement.marker is None or requirement.marker.evaluate():
            assert metadata.version(requirement.name).split("+")[0] == exact(requirement)
    names = [plain(found.metadata["Name"]) for found in metadata.distributions()]
    assert names.count("torch") == 1
    assert names.count("course-utils") == 1


@pytest.mark.slow
def test_wheel_carries_the_code_and_the_data(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling is in requirements.txt, not in this Python")
    words = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    code = {
        path.relative_to(ROOT).as_posix()
        for ending in ("py", "html")
        for path in ROOT.glob(f"course_utils/**/*.{ending}")
    }
    files = [path for path in ROOT.glob("data/**/*") if path.is_file()]
    data = {f"course_utils/_data/{path.relative_to(ROOT / 'data').as_posix()}" for path in files}
    assert inside == code | data


# `make lab`.


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, path: str) -> tuple[int, str, str]:
    """GET a page of the server: status, where it sends us, text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Authorization": "token course"})
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Location") or "", answer.read().decode()
    connection.close()
    return found


def wait_for_server(port: int, process: subprocess.Popen, seconds: float = 90) -> None:
    """Return when the server answers; fail when it ends or is silent for too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "JupyterLab ended by itself"
        try:
            if ask(port, "/api")[0] == 200:
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not answer within {seconds} s")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[int]:
    """JupyterLab as `make lab` starts it, without a browser; gives its port."""
    port = free_port()
    more = ["--no-browser", f"--port={port}", "--IdentityProvider.token=course"]
    folders = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    tool = load_tool("lab")
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            tool.command(*more), env=tool.environment() | folders, stdout=log, stderr=log, cwd=ROOT
        )
        try:
            wait_for_server(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_lab_opens_on_the_list_of_lessons(lab: int) -> None:
    status, place, _ = ask(lab, "/")
    assert (status, place.split("?")[0]) == (302, "/lab/tree/notebooks")
    status, _, text = ask(lab, place)
    assert status == 200
    assert "jupyter-config-data" in text
    status, _, text = ask(lab, "/api/contents/notebooks")
    listed = {entry["name"] for entry in json.loads(text)["content"]}
    assert status == 200
    assert {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} <= listed
    # Pictures lie beside the notebooks folder, so the server's root is the clone.
    assert ask(lab, "/api/contents/course_utils")[0] == 200
