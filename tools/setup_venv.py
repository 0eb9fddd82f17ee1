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
NEWER = ("python3.13", "python3.12", "python3.11", "python3.10")
NEEDED_GB = 3.0
UNFINISHED = "unfinished"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHOWN = ("Downloading", "Installing", "WARNING: Retrying")
PINS = ("requirements.txt", "requirements-tested.txt", "pyproject.toml")


class SetupError(Exception):
    """What went wrong and what to do, in one sentence for the reader."""


class NetworkError(SetupError):
    """pip stopped by itself before it installed anything: the next run can go on from here."""


def venv_python(venv):
    """Where the environment keeps its interpreter on this system."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def pins_digest(root):
    """A digest of everything that decides what is installed."""
    digest = hashlib.sha256()
    for name in PINS:
        with open(os.path.join(root, name), "rb") as file:
            text = file.read().replace(b"\r\n", b"\n")
        # Of pyproject.toml only the metadata matters: tool settings need no new set-up.
        digest.update(text.split(b"\n[tool.ruff]")[0])
    return digest.hexdigest()


def stamp_path(root):
    """Where the stamp lies."""
    return os.path.join(root, ".venv", "course-ready")


def read_stamp(root):
    """The stamp as a dictionary; empty when there is none, or one of another folder."""
    try:
        with open(stamp_path(root)) as file:
            stamp = json.load(file)
    except (IOError, OSError, ValueError):
        return {}
    return stamp if stamp.get("root") == root else {}


def write_stamp(root, pins):
    """Store what the environment holds, at once and whole."""
    with open(stamp_path(root) + ".part", "w") as file:
        json.dump({"pins": pins, "root": root}, file)
    os.replace(stamp_path(root) + ".part", stamp_path(root))


def is_ready(root):
    """Whether nothing is left to do."""
    return read_stamp(root).get("pins") == pins_digest(root) and os.path.exists(
        venv_python(root + "/.venv")
    )


def check_python(version, executable):
    """Raise SetupError when this Python is too old."""
    if tuple(version[:2]) >= OLDEST:
        return
    newer = [name for name in NEWER if runs(name)]
    hint = "make setup PYTHON=" + newer[0] if newer else "install a newer one from python.org"
    message = "The course needs Python {}.{} or newer, but {} is Python {}.{}.{}: {}"
    raise SetupError(message.format(*(OLDEST + (executable,) + tuple(version[:3]) + (hint,))))


def runs(name):
    """Whether this Python is installed and starts."""
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call([name, "-c", ""], stdout=nowhere, stderr=nowhere) == 0
        except OSError:
            return False


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
            print("  " + lines[-1].strip()[:180])
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
    """The error for a failure of pip, from what it printed."""
    free = shutil.disk_usage(root).free / 1e9
    if free < 0.5 or any(word in log for word in ("No space left", "[Errno 28]", "WinError 112")):
        return SetupError(
            "The disk became full while pip was installing ({:.1f} GB are free now): make room "
            "(Linux needs up to 10 GB, with torch's GPU libraries) and try again.".format(free)
        )
    network = ("NewConnectionError", "Timeout", "ProxyError", "SSLError", "NameResolutionError")
    network += ("Connection broken", "ProtocolError", "Max retries", "(from versions: none)")
    if any(word in log for word in network):
        return NetworkError(
            "pip could not fetch everything: check the network or the proxy and run the same "
            "command again (what was fetched is kept)."
        )
    if "No matching distribution" in log or "requires a different Python" in log:
        return SetupError(
            "pip found no file of a pinned version for Python {}.{} on this system: Python 3.11 "
            "to 3.13 is the safe choice (make setup PYTHON=python3.12).".format(*sys.version_info)
        )
    return SetupError("pip failed, its last lines above say why: mend that and try again.")


def pip(root, *words):
    """Run the environment's pip; raise SetupError with one clear sentence when it fails."""
    venv = os.path.join(root, ".venv")
    command = [venv_python(venv), "-m", "pip", "install", "--prefer-binary"]
    status, lines = call_showing(command + list(words), root)
    if status != 0:
        error = explain_pip("".join(lines), root)
        # Without a network pip ends by blaming the versions: that would only mislead.
        if not isinstance(error, NetworkError):
            print("".join(lines[-20:]))
        raise error


def compile_packages(root):
    """Compile what pip installed, on all processors, where pip would take one."""
    venv = os.path.join(root, ".venv")
    # Some packages carry files for other Pythons: what cannot be compiled is left as it is.
    call([venv_python(venv), "-m", "compileall", "-qq", "-j", "0", venv], root)


def quiet_notebooks(root):
    """Keep this environment's JupyterLab and kernels from asking and warning."""
    venv = os.path.join(root, ".venv")
    settings = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
    lab = os.path.join(venv, "share", "jupyter", "lab", "settings")
    write(lab, "overrides.json", json.dumps(settings))
    kernel = os.path.join(venv, "etc", "ipython")
    write(kernel, "ipython_kernel_config.py", 'get_config().IPKernelApp.log_level = "ERROR"\n')


def write(folder, name, text):
    """Write a small file, its folder included."""
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with open(os.path.join(folder, name), "w") as file:
        file.write(text)


def install(root):
    """Everything between an empty environment and the stamp."""
    pip(root, "--no-compile", "-r", "requirements.txt", "-c", "requirements-tested.txt")
    compile_packages(root)
    pip(root, "--no-deps", "--no-build-isolation", "-e", ".")
    quiet_notebooks(root)
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
    before = read_stamp(root).get("pins")
    check_disk(root, NEEDED_GB if before in (None, UNFINISHED) else 1.0)
    # With a stamp, only versions differ or are missing: pip mends that in place.
    if before:
        os.remove(stamp_path(root))
    else:
        make_venv(root)
    print("Setting up .venv (some minutes, once)...")
    sys.stdout.flush()
    try:
        install(root)
    except NetworkError:
        write_stamp(root, UNFINISHED)
        raise
    write_stamp(root, pins_digest(root))
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
