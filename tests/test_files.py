"""Where data is found, and that a write that fails leaves the old file."""

import os
import stat
import sys

import pytest

from course_utils import files
from course_utils.files import atomic_write, data_path


def test_data_path_finds_the_data_folder_of_the_clone():
    folder = data_path()
    assert folder.is_dir() and folder.name in ("data", "_data")


def test_data_path_prefers_what_lies_inside_the_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "course_utils"
    for place in (package / "_data", tmp_path / "data"):
        place.mkdir(parents=True)
        (place / "words.txt").write_text("a")
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    assert data_path("words.txt") == package / "_data" / "words.txt"
    (package / "_data" / "words.txt").unlink()
    assert data_path("words.txt") == tmp_path / "data" / "words.txt"


def test_data_path_missing_file_says_its_name_and_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"'no/such\.txt'.*install the course again"):
        data_path("no", "such.txt")


def test_atomic_write_replaces_the_file_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "note.txt"
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            assert temporary.parent.parent == path.parent and temporary != path
            temporary.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["note.txt"]


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_atomic_write_error_in_the_block_leaves_the_old_file_only(tmp_path, error):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("half of the ne")
        assert path.read_text() == "old"
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["note.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_atomic_write_error_after_the_block_leaves_the_old_file_only(tmp_path, monkeypatch, call):
    path = tmp_path / "note.txt"
    path.write_text("old")

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(OSError, match="No space"), atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["note.txt"]


def test_atomic_write_is_on_disk_before_it_takes_the_place(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda f: (calls.append("fsync"), fsync(f)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    with atomic_write(tmp_path / "note.txt") as temporary:
        temporary.write_text("new")
    assert calls == ["fsync", "replace"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_atomic_write_file_is_as_readable_as_any_other_file(tmp_path):
    """A class shares files: what `open` would let others read, this lets them read."""
    (tmp_path / "plain.txt").write_text("plain")
    with atomic_write(tmp_path / "note.txt") as temporary:
        temporary.write_text("new")
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("plain.txt", "note.txt")]
    assert modes[0] == modes[1]
