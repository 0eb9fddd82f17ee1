# ruff: noqa: UP032 - it must also run on a Python that is too old, to say so
"""Install the course from this folder alone: nothing is fetched from anywhere.

    python install.py           makes .venv from the files in wheels/
    python install.py --lab     does that if it is not done yet, then opens JupyterLab

In the clone this file is `tools/install_offline.py`; `make offline-pack` puts it at the top of the
archive, beside `pack.json`, which says what the archive holds. Uses the standard library only.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig

ROOT = os.path.dirname(os.path.abspath(__file__))
USAGE = "Usage: python install.py [--lab]"
ROOM = 1.2  # the disk needs this many times what the wheels unpack to: compiled files come on top


class PackError(Exception):
    """What is wrong with the pack or the machine, and what to do, in one sentence."""


def this_python():
    """The version that wheels are made for, such as 3.11."""
    return "{}.{}".format(*sys.version_info)


def this_platform():
    """The system and the processor, such as linux_x86_64, win_amd64 or macos_arm64."""
    name = sysconfig.get_platform()
    if name.startswith("macosx"):
        # One Python of a Mac often serves both processors: its own name does not tell which.
        name = "macos-" + os.uname()[4]
    return re.sub("[^a-z0-9]", "_", name.lower())


def read_pack(root):
    """What `pack.json` says about the archive."""
    try:
        with open(os.path.join(root, "pack.json")) as file:
            return json.load(file)
    except (OSError, ValueError):
        raise PackError(
            "There is no whole pack.json beside install.py: unpack the whole archive first, "
            "then run install.py in the folder that this makes."
        ) from None


def check_machine(pack):
    """Raise PackError when the wheels were made for another Python or system."""
    here = (this_python(), this_platform())
    if here != (pack["python"], pack["platform"]):
        message = (
            "This pack is for Python {} on {}, this is Python {} on {} ({}): run install.py with "
            "such a Python, or make a pack on a machine like this one."
        )
        raise PackError(
            message.format(pack["python"], pack["platform"], here[0], here[1], sys.executable)
        )


def check_wheels(root, pack):
    """Raise PackError when a wheel is missing or cut off."""
    sizes, bad = pack["wheels"], []
    for name in sorted(sizes):
        path = os.path.join(root, "wheels", name)
        got = os.path.getsize(path) if os.path.isfile(path) else None
        if got is None:
            bad.append("wheels/{} is missing".format(name))
        elif got != sizes[name]:
            bad.append("wheels/{} has {} bytes in place of {}".format(name, got, sizes[name]))
    if bad:
        more = " (and {} more)".format(len(bad) - 1) if bad[1:] else ""
        message = "The pack is not whole: {}{}. Copy the archive again and unpack it anew."
        raise PackError(message.format(bad[0], more))


def check_disk(root, pack):
    """Raise PackError when the packages will not fit."""
    needed, free = ROOM * pack["unpacked_bytes"] / 1e9, shutil.disk_usage(root).free / 1e9
    if free < needed:
        message = "The disk is too full: {} has {:.1f} GB free, the packages need {:.1f} GB."
        raise PackError(message.format(root, free, needed))


def leave_network_out(wheels):
    """Let pip look nowhere but into this folder, whatever the reader's settings say."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        del os.environ[name]
    # A space would part the words of PIP_FIND_LINKS; as a URL the folder has none.
    from urllib.request import pathname2url

    os.environ["PIP_FIND_LINKS"] = "file:" + pathname2url(wheels)
    os.environ.update(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)


def refused_wheel(root, python):
    """What pip says about the first wheel that does not fit this machine; empty if all fit."""
    folder = os.path.join(root, "wheels")
    wheels = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    command = [python, "-m", "pip", "install", "--dry-run", "--no-deps"] + wheels  # noqa: RUF005
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = process.communicate()[0].decode("utf-8", "replace")
    errors = [line for line in text.splitlines() if "is not a supported wheel" in line]
    return errors[0].replace("ERROR: ", "") if errors else ""


def install(root):
    """Make `.venv`; do nothing when it is complete."""
    pack = read_pack(root)
    check_machine(pack)
    sys.path.insert(0, os.path.join(root, "tools"))
    import setup_venv

    if not setup_venv.is_ready(root):
        check_wheels(root, pack)
        check_disk(root, pack)
    leave_network_out(os.path.join(root, "wheels"))
    python = setup_venv.venv_python(os.path.join(root, ".venv"))
    try:
        setup_venv.ensure(root, say=True)
    except setup_venv.NetworkError:  # pip found no file, and there is no network to blame
        raise PackError(
            "pip could not install from wheels/ alone. {} Was requirements.txt changed after the "
            "pack was made? Else make a pack on a machine like this one.".format(
                refused_wheel(root, python)
            )
        ) from None
    except setup_venv.SetupError as error:
        raise PackError(str(error)) from None
    return python


def main(words):
    """The command line; the exit status."""
    if words not in ([], ["--lab"]):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        python = install(ROOT)
        if words:
            return subprocess.call([python, os.path.join(ROOT, "tools", "lab.py")])
        print("Next: python install.py --lab, or: make lab")
    except PackError as error:
        print("\n{}".format(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
