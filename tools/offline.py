"""Run a command as on a train: nothing can be reached but this machine itself.

    python tools/offline.py make run

On Linux the command gets a network of its own with nothing in it but 127.0.0.1. Where the system
forbids that, Python's own sockets are closed to all other addresses (`no_network/`), which holds
for every Python process that the command starts.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

OWN_NETWORK = ["unshare", "--user", "--map-root-user", "--net"]
INSIDE = "--inside"
SET_FLAGS, UP = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP, from Linux's sockios.h and if.h


def has_own_network() -> bool:
    """Whether this system lets us make a network with nothing in it."""
    try:
        tried = subprocess.run([*OWN_NETWORK, "true"], capture_output=True, check=False)
    except OSError:
        return False
    return tried.returncode == 0


def start_loopback() -> None:
    """Switch on 127.0.0.1: in a new network it is off."""
    import fcntl
    import socket

    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))


def blocked(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Python closes its sockets to all but this machine."""
    paths = [str(Path(__file__).resolve().parent / "no_network")]
    paths += filter(None, [environment.get("PYTHONPATH")])
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def command(words: list[str], environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The words and the environment that run `words` without network."""
    if has_own_network():
        return [*OWN_NETWORK, sys.executable, __file__, INSIDE, *words], dict(environment)
    return words, blocked(environment)


def main(words: list[str]) -> int:
    """The command line; the command's exit status."""
    if not words:
        print(__doc__)
        return 2
    if words[0] == INSIDE:
        start_loopback()
        os.execvp(words[1], words[1:])
    line, environment = command(words, os.environ)
    if os.name == "nt":  # there, exec would return to the shell too early
        return subprocess.call(line, env=environment)
    os.execvpe(line[0], line, environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
