"""Make one archive that installs the course on machines without network: `make offline-pack`.

    python tools/offline_pack.py [words for pip ...]

The archive, `build/course-VERSION-PLATFORM-pyXY.zip`, holds the files of the course, the wheels of
everything in requirements.txt for this system and this Python, and `install.py`
(`tools/install_offline.py`). Make it on a machine like those of the classroom: the same system and
the same version of Python. All words are handed to `pip wheel`. On Linux pip fetches torch with its
GPU libraries, some gigabytes; where an index offers a smaller torch, name it:

    make offline-pack ARGS="--extra-index-url https://..."

In a clone the pack holds the files that git knows, as they are now, committed or not.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import install_offline
import setup_venv

ROOT = Path(__file__).resolve().parents[1]
PINS = ("-r", "requirements.txt", "-c", "requirements-tested.txt")
SHOWN = ("Downloading", "Building wheel", "WARNING: Retrying")
MADE = {"build", "dist", ".venv", "wheels", ".git"}  # at the top of the course
CACHES = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", ".hypothesis"}
ADDED = {"install.py", "pack.json", "INSTALL.txt"}

README = """\
The course, to install where there is no network
================================================
For Python {python} on {platform}. You need that Python and {room:.1f} GB of disk.

1. Unpack the whole archive to where the course shall stay.
2. In this folder:  python install.py         (makes .venv; a minute or two)
3. Each time:       python install.py --lab   (opens JupyterLab; with GNU make also: make lab)
Where there is no `python`, write python3 or py.

Nothing is fetched, and nothing is written outside this folder. The folder wheels/ may be deleted
afterwards. If you move the folder, keep wheels/ and run step 2 again. README.md tells the rest.
"""


def git_files(root: Path, *words: str) -> set[str]:
    """The files in `root` that git lists; none when there is no git, or no clone."""
    git = ["git", "-C", str(root), "ls-files", "-z", *words]
    try:
        listed = subprocess.run(git, capture_output=True, check=False)
    except OSError:
        return set()
    return set(filter(None, listed.stdout.decode("utf-8").split("\0")))


def course_files(root: Path) -> list[str]:
    """The files of the course, relative and sorted: those git knows, or all but what was made."""
    names = git_files(root)
    if not names:
        paths = [path.relative_to(root) for path in root.rglob("*")]
        names = {
            path.as_posix()
            for path in paths
            if path.parts[0] not in MADE and CACHES.isdisjoint(path.parts)
        }
    elif unknown := sorted(git_files(root, "--others", "--exclude-standard") - ADDED):
        print(f"Left out, for git does not know them (git add): {', '.join(unknown)}")
    return sorted(name for name in names - ADDED if (root / name).is_file())


def fingerprint(root: Path, files: list[str], words: list[str]) -> str:
    """A digest of all that decides what the archive holds."""
    digest = hashlib.sha256(json.dumps([words, README]).encode())
    digest.update(Path(install_offline.__file__).read_bytes())
    for name in files:
        content = (root / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def archive_path(root: Path) -> Path:
    """Where the archive lies: its name tells the version, the system and the Python."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"', text, re.M)[1]
    python = install_offline.this_python().replace(".", "")
    name = f"course-{version}-{install_offline.this_platform()}-py{python}.zip"
    return root / "build" / name


def made_from(archive: Path) -> str:
    """The fingerprint that an archive was made from; empty when there is no whole archive."""
    try:
        with zipfile.ZipFile(archive) as pack:
            (name,) = (name for name in pack.namelist() if re.fullmatch("[^/]+/pack.json", name))
            return json.loads(pack.read(name))["made_from"]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError):
        return ""


def fetch_wheels(root: Path, folder: Path, words: list[str]) -> None:
    """Let pip collect the wheels, and build those that nobody offers."""
    command = [sys.executable, "-m", "pip", "wheel", "--prefer-binary", "-w", str(folder)]
    status, lines = setup_venv.call_showing([*command, *PINS, *words], str(root), SHOWN)
    if status != 0:
        print("".join(lines[-20:]))  # they name the package
        raise setup_venv.explain_pip("".join(lines), str(root))


def unpacked_bytes(wheels: list[Path]) -> int:
    """What the wheels take on the disk once they are installed."""
    total = 0
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            total += sum(entry.file_size for entry in wheel.infolist())
    return total


def describe(wheels: list[Path], made: str) -> dict:
    """The content of `pack.json`."""
    return {
        "python": install_offline.this_python(),
        "platform": install_offline.this_platform(),
        "made_from": made,
        "unpacked_bytes": unpacked_bytes(wheels),
        "wheels": {path.name: path.stat().st_size for path in wheels},
    }


def write_archive(
    target: Path, root: Path, files: list[str], wheels: list[Path], pack: dict
) -> None:
    """Write the archive; the wheels come last and as they are, for they are packed already."""
    top = "-".join(target.name.split("-")[:2])
    room = max(setup_venv.NEEDED_GB, install_offline.ROOM * pack["unpacked_bytes"] / 1e9)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        archive.writestr(f"{top}/INSTALL.txt", README.format(room=room, **pack))
        archive.writestr(f"{top}/pack.json", json.dumps(pack, indent=1))
        archive.write(install_offline.__file__, f"{top}/install.py")
        for name in files:
            archive.write(root / name, f"{top}/{name}")
        for path in wheels:
            archive.write(path, f"{top}/wheels/{path.name}", zipfile.ZIP_STORED)


def make_pack(root: Path, words: list[str]) -> str:
    """Make the archive, unless it is there and nothing has changed; a sentence about it."""
    files, archive = course_files(root), archive_path(root)
    made = fingerprint(root, files, words)
    if made_from(archive) == made:
        return f"Nothing has changed: {archive} is there ({archive.stat().st_size / 1e6:.0f} MB)."
    begin, work = time.monotonic(), archive.parent / "offline-pack.part"
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    try:
        (work / "wheels").mkdir(parents=True)
        print("Collecting the wheels (pip's cache is used)...", flush=True)
        fetch_wheels(root, work / "wheels", words)
        wheels = sorted((work / "wheels").glob("*.whl"))
        part = work / archive.name
        write_archive(part, root, files, wheels, describe(wheels, made))
        part.replace(archive)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return (
        f"{archive}: {archive.stat().st_size / 1e6:.0f} MB, {len(wheels)} wheels and {len(files)} "
        f"files, in {time.monotonic() - begin:.0f} s. INSTALL.txt in it says how to go on."
    )


def main(words: list[str], root: Path = ROOT) -> int:
    """The command line; the exit status."""
    if "-h" in words or "--help" in words:
        print(__doc__)
        return 0
    try:
        print(make_pack(root, words))
    except setup_venv.SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        free = shutil.disk_usage(root).free / 1e9
        print(f"\nThe disk became full ({free:.1f} GB are free now): make room.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped: nothing is left half-made. pip keeps what it fetched.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
