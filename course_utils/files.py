"""Where the course's data lies, and how to write a file so that a crash leaves the old one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` only when the block ends well.

    A block that raises (a full disk, an interrupt) leaves the old file untouched and nothing beside
    it.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as temporary:
    ...     _ = temporary.write_text("hello")
    >>> target.read_text()
    'hello'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp's own would shut out all others
        with open(temporary, "rb+") as written:  # on disk before it takes the old file's place
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
