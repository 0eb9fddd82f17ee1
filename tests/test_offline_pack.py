"""The pack for a classroom without network, on a course of a few files and wheels made here."""

from __future__ import annotations

import collections
import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import install_offline
import offline_pack
import pytest
import setup_venv
from conftest import ROOT
from packaging.requirements import Requirement

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"

[tool.hatch.build]
dev-mode-dirs = ["."]

[tool.hatch.build.targets.wheel]
only-include = ["{file}"]
"""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
CLEAN["PIP_CONFIG_FILE"] = os.devnull


def project(folder: Path, name: str, version: str, file: str) -> None:
    """A Python project of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PROJECT.format(name=name, version=version, file=file)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (folder / file).write_text(f"VERSION = '{version}'\n", encoding="utf-8")


def wheel_of_installed(name: str, folder: Path) -> None:
    """Make wheels of an installed package and all it needs: there is no network to fetch from."""
    found = metadata.distribution(name)
    for needed in map(Requirement, found.requires or ()):
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            wheel_of_installed(needed.name, folder)
    path = folder / f"{name.replace('-', '_')}-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in found.files:
            if ".." not in file.parts and file.suffix != ".pyc":
                wheel.write(found.locate_file(file), file.as_posix())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small course, and `wheels` beside it, where pip finds what it needs: its torch is tiny."""
    folder = tmp_path_factory.mktemp("source")
    course, wheels = folder / "course", folder / "wheels"
    project(course, "course-utils", "1.2.3", "course_utils.py")
    (course / "requirements.txt").write_text("torch==9.9\nhatchling\n", encoding="utf-8")
    (course / "requirements-tested.txt").write_text("# nothing\n", encoding="utf-8")
    (course / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup_venv.py", course / "tools")
    lab = "import course_utils, torch\nprint('lab with torch', torch.VERSION)\n"
    (course / "tools" / "lab.py").write_text(lab, encoding="utf-8")
    (course / "notebooks").mkdir()
    (course / "notebooks" / "01_приклад.ipynb").write_text("{}", encoding="utf-8")
    for made in ("build/old.zip", ".venv/pyvenv.cfg", "tools/__pycache__/lab.pyc"):
        (course / made).parent.mkdir(parents=True, exist_ok=True)
        (course / made).write_text("made", encoding="utf-8")
    wheels.mkdir()
    wheel_of_installed("hatchling", wheels)
    project(folder / "torch", "torch", "9.9", "torch.py")
    words = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    subprocess.run([sys.executable, *words, str(folder / "torch")], check=True, env=CLEAN)
    return course


@pytest.fixture(scope="module")
def words(source: Path) -> list[str]:
    """What is handed to pip: it looks into one folder only."""
    return ["--no-index", "--find-links", str(source.parent / "wheels")]


def pack_by_command(source: Path, words: list[str]) -> subprocess.CompletedProcess:
    """Run the tool as `make` does, on the small course."""
    code = "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import offline_pack as tool; "
    code += "sys.exit(tool.main(sys.argv[3:], pathlib.Path(sys.argv[2])))"
    line = [sys.executable, "-c", code, str(ROOT / "tools"), str(source), *words]
    return subprocess.run(
        line, env=CLEAN, capture_output=True, text=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def archive(source: Path, words: list[str]) -> Path:
    """The pack of the small course."""
    done = pack_by_command(source, words)
    assert done.returncode == 0, done.stdout + done.stderr
    return offline_pack.archive_path(source)


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    """A fresh folder with the pack in it; its name holds a space."""
    shutil.unpack_archive(archive, tmp_path)
    return (tmp_path / "course-1.2.3").rename(tmp_path / "my course")


def install(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run the installer as a reader does, whose settings lead pip to a server."""
    away = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "install.py", *words],
        cwd=folder,
        env=CLEAN | away,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def refusal(folder: Path) -> str:
    """What the installer says when it does nothing."""
    done = install(folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (folder / ".venv").exists()
    return done.stderr


@pytest.mark.slow
def test_pack_holds_the_course_and_wheels_and_nothing_made(archive: Path, source: Path) -> None:
    inside = {name.split("/", 1)[1] for name in zipfile.ZipFile(archive).namelist()}
    wheels = {name for name in inside if name.startswith("wheels/")}
    assert wheels == {f"wheels/{path.name}" for path in (source.parent / "wheels").iterdir()}
    assert inside - wheels == {
        "INSTALL.txt",
        "install.py",
        "pack.json",
        "course_utils.py",
        "pyproject.toml",
        "requirements.txt",
        "requirements-tested.txt",
        "notebooks/01_приклад.ipynb",
        "tools/lab.py",
        "tools/setup_venv.py",
    }
    kinds = {entry.compress_type for entry in zipfile.ZipFile(archive).infolist()[-len(wheels) :]}
    assert kinds == {zipfile.ZIP_STORED}
    assert {path.name for path in archive.parent.iterdir()} == {"old.zip", archive.name}


@pytest.mark.slow
def test_pack_names_no_place_of_the_machine(archive: Path, source: Path) -> None:
    with zipfile.ZipFile(archive) as pack:
        for name in ("pack.json", "INSTALL.txt"):
            text = pack.read(f"course-1.2.3/{name}").decode()
            assert str(source.parent) not in text
            assert install_offline.this_platform() in text


@pytest.mark.slow
def test_pack_again_says_that_nothing_changed(
    archive: Path, source: Path, words: list[str]
) -> None:
    before = archive.stat().st_mtime_ns
    done = pack_by_command(source, words)
    assert "Nothing has changed" in done.stdout
    assert archive.stat().st_mtime_ns == before
    files = offline_pack.course_files(source)
    made = offline_pack.fingerprint(source, files, words)
    assert made == offline_pack.made_from(archive)
    assert made != offline_pack.fingerprint(source, files[1:], words)
    assert made != offline_pack.fingerprint(source, files, [])


@pytest.mark.slow
def test_cut_off_archive_is_no_archive(archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / archive.name
    cut.write_bytes(archive.read_bytes()[:-1000])
    assert offline_pack.made_from(archive)
    assert offline_pack.made_from(cut) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("python", "3.99", f"for Python 3.99 on {install_offline.this_platform()}, this is"),
        ("platform", "amiga_m68k", "on amiga_m68k, this is Python"),
        ("unpacked_bytes", 10**18, "The disk is too full"),
    ],
)
def test_wrong_machine_is_refused(unpacked: Path, key: str, value: object, told: str) -> None:
    path = unpacked / "pack.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert told in refusal(unpacked)


@pytest.mark.slow
def test_incomplete_pack_is_refused(unpacked: Path) -> None:
    torch = next((unpacked / "wheels").glob("torch-*.whl"))
    whole = torch.read_bytes()
    torch.write_bytes(whole[:-7])
    told = f"wheels/{torch.name} has {len(whole) - 7} bytes in place of {len(whole)}"
    assert told in refusal(unpacked)
    torch.unlink()
    assert f"wheels/{torch.name} is missing. Copy" in refusal(unpacked)
    (unpacked / "pack.json").unlink()
    assert "unpack the whole archive first" in refusal(unpacked)


@pytest.mark.slow
def test_pack_installs_without_network_and_leaves_nothing_to_do(unpacked: Path) -> None:
    torch, pack = next((unpacked / "wheels").glob("torch-*.whl")), unpacked / "pack.json"
    other, text = torch.with_name("torch-9.9-cp311-cp311-amiga_m68k.whl"), pack.read_text()
    # A wheel that this machine does not take is named, and the next run goes on from there.
    torch.rename(other)
    pack.write_text(text.replace(torch.name, other.name))
    failed = install(unpacked)
    assert failed.returncode == 1
    assert f"{other.name} is not a supported wheel on this platform" in failed.stderr
    assert "check the network" not in failed.stderr
    assert not setup_venv.is_ready(str(unpacked))
    other.rename(torch)
    pack.write_text(text)
    done = install(unpacked, "--lab")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lab with torch 9.9" in done.stdout
    assert setup_venv.is_ready(str(unpacked))
    # What `make lab` asks; by then the wheels may be gone.
    shutil.rmtree(unpacked / "wheels")
    words = [sys.executable, "tools/setup_venv.py", "--say"]
    again = subprocess.run(words, cwd=unpacked, capture_output=True, text=True, check=True)
    assert again.stdout == "Ready: .venv is complete. Next: make lab\n"
    assert install(unpacked).returncode == 0


@pytest.mark.slow
def test_missing_requirement_stops_the_pack(source: Path, words: list[str], tmp_path: Path) -> None:
    course = shutil.copytree(source, tmp_path / "course", ignore=shutil.ignore_patterns("build"))
    pins = course / "requirements.txt"
    pins.write_text("torch==9.9\nnowhere-to-be-found==1.0\n")
    done = pack_by_command(course, words)
    assert done.returncode == 1
    assert "nowhere-to-be-found" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert list((course / "build").iterdir()) == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A course of two files."""
    project(tmp_path / "course", "course-utils", "1.2.3", "course_utils.py")
    return tmp_path / "course"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), "Stopped: nothing is left half-made"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk became full"),
        (setup_venv.NetworkError("check the network"), "check the network"),
    ],
)
def test_stopped_pack_leaves_the_old_one(
    small: Path,
    error: BaseException,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    archive = offline_pack.archive_path(small)
    archive.parent.mkdir()
    archive.write_text("the old one")
    (archive.parent / "offline-pack.part").mkdir()  # left by a run that was killed

    def fetch(root: Path, folder: Path, words: list[str]) -> None:
        (folder / "a.whl").write_text("half a wheel")
        raise error

    monkeypatch.setattr(offline_pack, "fetch_wheels", fetch)
    assert offline_pack.main([], small) == 1
    assert told in capsys.readouterr().err
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    assert archive.read_text() == "the old one"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on the path")
def test_clone_packs_what_git_knows_as_it_is_now(
    small: Path, capsys: pytest.CaptureFixture
) -> None:
    assert offline_pack.course_files(small) == ["course_utils.py", "pyproject.toml"]
    for words in (["init", "-q"], ["add", "course_utils.py"]):
        subprocess.run(["git", "-C", str(small), *words], check=True)
    assert capsys.readouterr().out == ""
    assert offline_pack.course_files(small) == ["course_utils.py"]
    assert capsys.readouterr().out.endswith("git does not know them (git add): pyproject.toml\n")
    before = offline_pack.fingerprint(small, ["course_utils.py"], [])
    (small / "course_utils.py").write_text("changed")
    assert offline_pack.fingerprint(small, ["course_utils.py"], []) != before
    (small / "course_utils.py").unlink()
    assert "course_utils.py" not in offline_pack.course_files(small)


def test_help_shows_how_to_hand_words_to_pip(capsys: pytest.CaptureFixture) -> None:
    assert offline_pack.main(["--help"]) == 0
    assert 'make offline-pack ARGS="--' in capsys.readouterr().out


def test_disk_needs_room_for_the_unpacked_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(install_offline.shutil, "disk_usage", lambda path: usage(0, 0, 11e9))
    install_offline.check_disk(str(tmp_path), {"unpacked_bytes": 9e9})
    with pytest.raises(install_offline.PackError, match=r"has 11\.0 GB free, .* need 12\.0 GB"):
        install_offline.check_disk(str(tmp_path), {"unpacked_bytes": 10e9})
