"""Make `.venv` with the pinned versions and the package, once.

Called by the Makefile with whatever Python the reader has, so this file runs on old ones too, and
uses the standard library only. It says in one sentence what is wrong when it cannot go on.

The stamp `.venv/course-ready` is written last. It holds a digest of the pins and the place of the
folder, so that new pins, a moved folder and a set-up that was killed half-way are all noticed.
"""

from __future__ import print_function

import hashlib
import json
import os
import shutil
import subprocess
import sys

OLDEST = (3, 10)
NEEDED_GB = 3.0
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHOWN = ("Downloading", "Installing", "Successfully built", "WARNING: Retrying", "ERROR")
PINS = ("requirements.txt", "requirements-tested.txt", "pyproject.toml")


class SetupError(Exception):
    """What went wrong and what to do, in one sentence for the reader."""


def venv_python(venv):
    """Where the environment keeps its interpreter on this system."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def wanted(root):
    """What the stamp holds when the environment in `root` is up to date."""
    digest = hashlib.sha256()
    for name in PINS:
        with open(os.path.join(root, name), "rb") as file:
            text = file.read().replace(b"\r\n", b"\n")
        # Of pyproject.toml only the metadata matters: tool settings need no new set-up.
        digest.update(text.split(b"\n[tool.ruff]")[0])
    return json.dumps({"pins": digest.hexdigest(), "root": root}, indent=1, sort_keys=True)


def stamp_path(root):
    """Where the stamp lies."""
    return os.path.join(root, ".venv", "course-ready")


def read_stamp(root):
    """The stamp's text, or None when there is none."""
    try:
        with open(stamp_path(root)) as file:
            return file.read()
    except (IOError, OSError):
        return None


def is_ready(root):
    """Whether nothing is left to do."""
    return read_stamp(root) == wanted(root) and os.path.exists(venv_python(root + "/.venv"))


def check_python(version, executable):
    """Raise SetupError when this Python is too old."""
    if tuple(version[:2]) >= OLDEST:
        return
    newer = [name for name in ("python3.%d" % n for n in range(14, 9, -1)) if _which(name)]
    hint = "make setup PYTHON=" + newer[0] if newer else "install a newer one from python.org"
    message = "The course needs Python {}.{} or newer, but {} is Python {}.{}.{}: {}"
    raise SetupError(message.format(*(OLDEST + (executable,) + tuple(version[:3]) + (hint,))))


def _which(name):
    return shutil.which(name) if hasattr(shutil, "which") else None


def check_disk(root, needed_gb=NEEDED_GB):
    """Raise SetupError when the disk that holds `root` has too little room."""
    free = shutil.disk_usage(root).free / 1e9
    if free < needed_gb:
        message = "The disk is too full: {} has {:.1f} GB free, the set-up needs about {:.0f} GB."
        raise SetupError(message.format(root, free, needed_gb))


def environment():
    """The reader's environment without what would lead pip or Python astray."""
    keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    keep.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_USER="0", PYTHONUNBUFFERED="1")
    return keep


def call(command, root):
    """Run one command of the set-up; its exit status."""
    return subprocess.call(command, cwd=root, env=environment())


def call_showing(command, root, shown=SHOWN):
    """Run pip and print the few of its many lines that tell how far it is; status and all lines."""
    lines = []
    process = subprocess.Popen(
        command, cwd=root, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    for raw in process.stdout:
        lines.append(raw.decode("utf-8", "replace"))
        if lines[-1].strip().startswith(shown):
            print("  " + lines[-1].strip()[:120])
            sys.stdout.flush()
    return process.wait(), lines


def make_venv(root):
    """An empty environment, with whatever was half-made before thrown away."""
    venv = os.path.join(root, ".venv")
    if os.path.exists(venv):
        print(".venv was not finished or has moved: making it anew.")
        shutil.rmtree(venv)
    if call([sys.executable, "-m", "venv", venv], root) != 0:
        raise SetupError(
            "Python could not make a virtual environment in {} "
            "(on Debian and Ubuntu: apt install python3-venv, then try again).".format(venv)
        )


def explain_pip(log, root):
    """One sentence for a failure of pip, from what it printed."""
    free = shutil.disk_usage(root).free / 1e9
    if free < 0.5 or any(word in log for word in ("No space left", "[Errno 28]", "WinError 112")):
        return (
            "The disk became full while pip was installing ({:.1f} GB are free now): make room "
            "(Linux needs up to 10 GB, with torch's GPU libraries) and try again.".format(free)
        )
    network = ("NewConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError")
    network += ("NameResolutionError", "Connection broken", "ProtocolError", "Max retries")
    if any(word in log for word in network) or "(from versions: none)" in log:
        return (
            "pip could not fetch everything: check the network or the proxy and run the same "
            "command again (what was fetched is kept)."
        )
    if "No matching distribution" in log or "requires a different Python" in log:
        return (
            "pip found no file of a pinned version for Python {}.{} on this system: Python 3.11 "
            "to 3.13 is the safe choice (make distclean, then make setup PYTHON=python3.12).".format(
                *sys.version_info[:2]
            )
        )
    return "pip failed; its last lines above say why. Mend that and run the same command again."


def pip(root, *words):
    """Run the environment's pip; raise SetupError with one clear sentence when it fails."""
    venv = os.path.join(root, ".venv")
    command = [venv_python(venv), "-m", "pip", "install", "--prefer-binary"]
    status, lines = call_showing(command + list(words), root)
    if status != 0:
        print("".join(lines[-20:]))
        raise SetupError(explain_pip("".join(lines), root))


def quiet_lab(root):
    """Tell this environment's JupyterLab not to ask about news: a class has other questions."""
    folder = os.path.join(root, ".venv", "share", "jupyter", "lab", "settings")
    if not os.path.isdir(folder):
        os.makedirs(folder)
    settings = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
    with open(os.path.join(folder, "overrides.json"), "w") as file:
        json.dump(settings, file, indent=1)


def install(root):
    """Everything between an empty environment and the stamp."""
    pip(root, "-r", "requirements.txt", "-c", "requirements-tested.txt")
    pip(root, "--no-deps", "--no-build-isolation", "-e", ".")
    quiet_lab(root)
    check = [venv_python(os.path.join(root, ".venv")), "-c", "import torch, course_utils"]
    if call(check, root) != 0:
        raise SetupError("The packages are installed but do not load: make distclean, then again.")


def ensure(root, say=False):
    """Make or mend the environment of the course in `root`; do nothing when it is complete."""
    if is_ready(root):
        if say:
            print("Ready: .venv is complete. Next: make lab")
        return
    check_python(sys.version_info, sys.executable)
    # With a stamp of older pins everything is there but some versions: pip mends it in place.
    complete_before = read_stamp(root)
    if complete_before and json.loads(complete_before).get("root") == root:
        check_disk(root, 1.0)
        os.remove(stamp_path(root))
    else:
        check_disk(root)
        make_venv(root)
    print("Setting up .venv (some minutes, once)...")
    sys.stdout.flush()
    install(root)
    with open(stamp_path(root) + ".part", "w") as file:
        file.write(wanted(root))
    os.replace(stamp_path(root) + ".part", stamp_path(root))
    print("Ready: .venv is complete.")


def main(words):
    """The command line: `setup_venv.py [--say]`; the exit status."""
    try:
        ensure(ROOT, say="--say" in words)
    except SetupError as error:
        print("\n{}".format(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
