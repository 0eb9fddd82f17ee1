"""Where the course's data lies, and how to write a file so that a crash leaves the old one."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed: that is its lock
    fcntl = None


def data_path(*parts: str) -> Path:
    """Path of a file or folder of the course's `data/`.

    An installed package carries its data as `course_utils/_data`; in a clone they lie in `data/`
    beside the package.

    Raises
    ------
    FileNotFoundError
        When neither place has it.

    Examples
    --------
    >>> data_path("phrases").is_dir()
    True
    """
    package = Path(__file__).resolve().parent
    places = [package.joinpath("_data", *parts), package.parent.joinpath("data", *parts)]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(
        f"the course's data {'/'.join(parts)!r} is neither in the installed package nor in the "
        "clone's data/ folder: install the course again, or clone the whole repository"
    )


def _umask() -> int:
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return mask


@contextmanager
def atomic_write(path: str | Path, *, needed: int | None = None) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` only when the block ends well.

    A block that raises (a full disk, an interrupt) leaves the old file untouched and nothing beside
    it. A process that is killed leaves a hidden folder, which the next write to `path` removes.

    Parameters
    ----------
    path : path
        The file; missing folders are made.
    needed : int, optional
        Size in bytes, for the message about a full disk.

    Raises
    ------
    OSError
        When the system refuses: which file, why, what became of the old one, what to do.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as temporary:
    ...     _ = temporary.write_text("hello")
    >>> target.read_text()
    'hello'
    """
    path = refuse_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with _folder_for_one_write(path) as folder:
            temporary = folder / path.name
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # some writers shut out all others
            with open(temporary, "rb+") as written:  # on disk before it takes the old file's place
                os.fsync(written.fileno())
            os.replace(temporary, path)
    except OSError as error:
        raise _in_one_sentence(error, path, needed) from error


def refuse_folder(path: str | Path) -> Path:
    """The path, unless a folder is there.

    Raises
    ------
    IsADirectoryError
        When it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give a file in it, such as {path / 'state'}")
    return path


@contextmanager
def _folder_for_one_write(path: Path) -> Iterator[Path]:
    """A hidden folder beside the file; its lock is held for as long as the writer lives.

    A folder, because safetensors writes to a temporary file of its own beside the one it is given.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            with open(folder / "lock", "w") as lock:
                if fcntl:
                    with contextlib.suppress(OSError):  # a file system without locks
                        fcntl.flock(lock, fcntl.LOCK_EX)
                if folder.exists():  # else another writer took it for a leftover: once more
                    yield folder
                    return
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(path: Path) -> None:
    """Remove the folders of writers that were killed: nobody holds their locks."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):  # its writer lives, or it is gone meanwhile
            if fcntl is None:
                (folder / "lock").unlink()
                shutil.rmtree(folder)
            else:
                with open(folder / "lock", "r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)


def _in_one_sentence(error: OSError, path: Path, needed: int | None) -> OSError:
    """The same error: which file, why, what became of the old one, what to do."""
    size = "" if needed is None else f", {needed / 1e6:.1f} MB needed"
    reason, advice = str(error), "give another path"
    if error.errno == errno.ENOSPC:
        place = next(folder for folder in path.absolute().parents if folder.exists())
        reason = f"the disk is full ({shutil.disk_usage(place).free / 1e6:.1f} MB free{size})"
        advice = "make room there, or give a path on another disk"
    elif error.errno == errno.EDQUOT:
        reason, advice = f"your share of this disk is used up{size}", "delete what you do not need"
    elif error.errno == errno.EFBIG:
        reason = f"no file may be so large here{size}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = f"you may not write into the folder {path.parent}"
        advice = "give a path in a folder of your own"
    kept = "the old file is still whole" if path.is_file() else "no file is left there"
    sentence = f"{path} was not written: {reason}; {kept}; {advice}"
    return OSError(error.errno, sentence) if error.errno else OSError(sentence)
