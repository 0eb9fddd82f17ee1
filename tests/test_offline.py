"""With the network gone: the wall that `make test` stands behind, and `make lab` behind it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, load_tool

offline = load_tool("offline")
needs_own_network = pytest.mark.skipif(
    not offline.has_own_network(), reason="this system lets nobody make a network of his own"
)
# 192.0.2.1 belongs to nobody (RFC 5737), and so does every name that ends in .example (RFC 2606).
TRY = """
import asyncio, socket
def fails(work):
    try:
        work()
    except OSError as error:
        return True
    return False
def udp(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"x", (host, 9))
def stream():
    asyncio.run(asyncio.wait_for(asyncio.open_connection("192.0.2.1", 80), 2))
with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen()
    socket.create_connection(server.getsockname(), 2).close()
udp("127.0.0.1")
print([fails(work) for work in (
    lambda: socket.create_connection(("192.0.2.1", 80), 2), lambda: udp("192.0.2.1"), stream,
    lambda: socket.getaddrinfo("course.example", 80))])
"""


def walls() -> list:
    """Both ways to cut a command off."""
    own = [*offline.OWN_NETWORK, sys.executable, offline.__file__, offline.INSIDE]
    return [
        pytest.param(own, dict(os.environ), id="own network", marks=needs_own_network),
        pytest.param([], offline.blocked(os.environ), id="blocked sockets"),
    ]


@pytest.mark.parametrize(("words", "environment"), walls())
def test_wall_lets_nothing_out_and_this_machine_in(words: list[str], environment: dict) -> None:
    begin = time.monotonic()
    run = subprocess.run(
        [*words, sys.executable, "-c", TRY],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "[True, True, True, True]", run.stderr
    assert time.monotonic() - begin < 6  # refused at once: each try would wait two seconds


@pytest.mark.parametrize(("words", "environment"), walls())
def test_wall_stands_around_what_a_command_starts(words: list[str], environment: dict) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    run = subprocess.run(
        [*words, sys.executable, "-c", code, TRY],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "[True, True, True, True]", run.stderr


def test_offline_hands_on_words_output_and_exit_status() -> None:
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    run = subprocess.run(
        [sys.executable, offline.__file__, sys.executable, "-c", code, "a b", "*"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (7, "['a b', '*']\n", "")


def test_tests_are_run_behind_the_wall() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^PYTEST := .*tools/offline\.py .*-m pytest", makefile, re.M)
    recipes = re.findall(r"^(test[a-z-]*): .*\n\t@(\S+)", makefile, re.M)
    assert recipes == [("test", "$(PYTEST)"), ("test-fast", "$(PYTEST)")]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    wall = r"\S+ tools/offline\.py make"
    aside = rf"^{wall} run LESSON=\d\d >\S+ 2>&1 &\nstep {wall} .*\nwait \$! \|\| failed="
    assert re.search(aside, ci, re.M)
    assert re.search(rf"^step {wall} exercises slides book$", ci, re.M)


@pytest.mark.slow
def test_lab_opens_the_list_of_lessons_with_the_network_gone(tmp_path: Path) -> None:
    """All the way: the browser is a script that opens the page which JupyterLab gives to it."""
    note, look = tmp_path / "looked.json", [sys.executable, str(ROOT / "tools" / "rehearse.py")]
    home = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    home["BROWSER"] = shlex.join([*look, "--look", str(note)]) + " %s"
    words, environment = offline.command(
        load_tool("lab").command("--port=0"), {**load_tool("lab").environment(), **home}
    )
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        lab = subprocess.Popen(
            words, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while not note.exists() and lab.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        assert note.exists(), (tmp_path / "log").read_text()[-3000:]
    finally:
        lab.send_signal(signal.SIGTERM)
        lab.wait(30)
    lessons = len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert json.loads(note.read_text()) == {"page": f"/lab/tree/notebooks, lessons: {lessons}"}
