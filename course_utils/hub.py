"""The one door to the Hugging Face hub: load from it, or say in one sentence why that failed.

The libraries behind it wait for minutes when the hub is away, and of what they fetched they check
the size alone. So `from_hub` first asks the hub for a sign of life. Without one it works from the
cache; with one it downloads under short time-outs, and lets no file into the cache whose checksum
is wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds for the sign of life: name resolution, proxy, TLS and answer together.
PROBE_SECONDS = 4
# A connection that brings no byte for so many seconds is broken. `huggingface_hub` takes a broken
# download up again five times. The variable HF_HUB_DOWNLOAD_TIMEOUT sets another number.
SILENCE_SECONDS = 5
# Seconds between the tries when the hub is busy, and from when on there are no further ones.
WAITS, LAST_TRY = (1, 2, 4), 15
BUSY = (500, 502, 503, 504)
_MISSING = re.compile("(Repository|Dataset|Revision|Entry|RemoteEntry)NotFoundError")
_BROKEN = re.compile("RemoteProtocolError|ReadError|ConnectionResetError|ChunkedEncodingError")


class _Damaged(OSError):
    """A file whose checksum is not the one that the hub gave for it."""


def from_hub(load: Callable[[], T], *, wanted: str, instead: str) -> T:
    """Call `load`, which asks the hub for something, such that every failure is quick and clear.

    What is in the cache is found without a network. Files come by plain HTTP(S), through the
    proxies that the environment names; each is checked once, against the SHA-256 or the git hash
    that the hub gives for it, before it enters the cache. Only one thread at a time may load.

    Parameters
    ----------
    load : callable
        Takes nothing and calls `datasets.load_dataset`, a `from_pretrained` of `transformers` or a
        download of `huggingface_hub`. It may be called several times.
    wanted : str
        What is loaded, for the error message: "the data set Helsinki-NLP/opus-100 (en-ru)".
    instead : str
        How to go on without it, for the error message: "use source='embedded'".

    Returns
    -------
    What `load` returns.

    Raises
    ------
    ConnectionError
        When `load` failed. One sentence: what was wanted, from where, why it failed, how to go on.
        An unreachable hub is noticed within 5 seconds; one that is busy (status 500 to 504) is
        asked four times; a download that stands still is given up after about 35 seconds.

    Examples
    --------
    >>> def load():
    ...     from transformers import AutoTokenizer
    ...
    ...     return AutoTokenizer.from_pretrained("google-bert/bert-base-cased")
    >>> tokenizer = from_hub(  # doctest: +SKIP
    ...     load, wanted="the tokenizer bert-base-cased", instead="give the folder of a copy"
    ... )
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        trouble = "the variable HF_HUB_OFFLINE forbids to ask"
    else:
        trouble = _trouble(constants.ENDPOINT)
    try:
        if trouble:
            with _offline():
                return load()
        with _careful():
            return _patiently(load)
    except Exception as error:  # each library below has its own kinds of errors
        reason = f"{trouble}, and the cache holds no copy" if trouble else _reason(error)
        raise ConnectionError(
            f"could not load {wanted} from {constants.ENDPOINT}: {reason}; {instead}"
        ) from error


def _trouble(endpoint: str) -> str:
    """Why the hub cannot be used now; nothing if it can. Any answer counts, "not found" too."""
    for wait in (*WAITS, 0):
        answer = _knock(endpoint)
        if answer not in BUSY:
            break
        time.sleep(wait)
    if isinstance(answer, int):
        return f"the server is out of order (status {answer})" if answer in BUSY else ""
    if "Timeout" in type(answer).__name__:
        return f"no answer within {PROBE_SECONDS} seconds"
    return f"no connection ({_first_line(answer)})"


def _knock(endpoint: str) -> int | Exception:
    """Ask for the hub's front page: the status of the answer, or what went wrong."""
    from huggingface_hub.utils import get_session

    answers: list[int | Exception] = []

    def ask() -> None:
        try:
            answers.append(get_session().head(endpoint, timeout=PROBE_SECONDS).status_code)
        except Exception as error:
            answers.append(error)

    # In a thread, because nothing limits the time that name resolution takes.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answers[0] if answers else TimeoutError()


def _patiently(load: Callable[[], T]) -> T:
    """Call `load`, again after a growing wait when the hub was busy or cut the connection."""
    end = time.monotonic() + LAST_TRY
    for wait in WAITS:
        try:
            return load()
        except Exception as error:
            passing = any(
                _status(link) in BUSY or isinstance(link, ConnectionResetError)
                for link in _causes(error)
            )
            if not passing or time.monotonic() > end:
                raise
        time.sleep(wait)
    return load()


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the libraries off the network. The environment variables count only before import."""
    from huggingface_hub import constants

    usual, names = constants.HF_HUB_OFFLINE, ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    try:
        for module in filter(None, (constants, sys.modules.get("datasets.config"))):
            _set(module, **dict.fromkeys(names, True))
        yield
    finally:
        # `datasets` may have been imported meanwhile, and copied the flag.
        for module in filter(None, (constants, sys.modules.get("datasets.config"))):
            _set(module, **dict.fromkeys(names, usual))


@contextmanager
def _careful() -> Iterator[None]:
    """Give downloads short time-outs and checked checksums."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import get_session

    # `xet`, the other way to download, has time-outs of its own, which are minutes long.
    usual = _set(constants, HF_HUB_DISABLE_XET=True)
    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:
        usual |= _set(constants, HF_HUB_DOWNLOAD_TIMEOUT=SILENCE_SECONDS)
    limit = constants.HF_HUB_DOWNLOAD_TIMEOUT

    def hurry(request: Any) -> None:  # some requests have no time-out, or one of 100 seconds
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            kind: seconds if kind == "pool" else min(seconds or limit, limit)
            for kind, seconds in limits.items()
        }

    # Versions before 1.0 use another HTTP library, without these hooks.
    hooks = getattr(get_session(), "event_hooks", {"request": []})["request"]
    hooks.append(hurry)
    move = getattr(file_download, "_chmod_and_move", None)
    if move is None:
        warnings.warn("unknown version of huggingface_hub: checksums are not checked", stacklevel=4)
    checked = _set(file_download, _chmod_and_move=lambda src, dst: _checked(move, src, dst))
    try:
        yield
    finally:
        _set(file_download, **checked)
        _set(constants, **usual)
        hooks.remove(hurry)


def _checked(move: Callable[[Path, Path], None], source: Path, target: Path) -> None:
    """Move a finished download into the cache, which names it by its checksum, if that is right."""
    found, expected = _checksum(Path(source), Path(target).name), Path(target).name
    if found not in ("", expected):
        Path(source).unlink()
        raise _Damaged(
            f"a file came damaged and was thrown away (checksum {found[:12]}..., expected "
            f"{expected[:12]}...), try again"
        )
    move(source, target)


def _checksum(file: Path, etag: str) -> str:
    """The file's SHA-256 or git hash, whichever `etag` looks like; nothing if like neither."""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag):
        return ""
    digest = hashlib.sha256()
    if len(etag) == 40:
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size)
    with file.open("rb") as opened:
        for block in iter(lambda: opened.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _set(module: Any, **values: Any) -> dict[str, Any]:
    """Set those settings that the module has; return what they were."""
    usual = {name: getattr(module, name) for name in values if hasattr(module, name)}
    for name in usual:
        setattr(module, name, values[name])
    return usual


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def _reason(error: Exception) -> str:
    """Why the download failed, out of the errors of three libraries."""
    for link in _causes(error):
        if isinstance(link, _Damaged):
            return str(link)
        if _status(link) in BUSY:
            return f"the server is out of order (status {_status(link)})"
        if "Timeout" in type(link).__name__:
            return "the connection stood still, try again later"
        if _BROKEN.fullmatch(type(link).__name__) or str(link).startswith("Consistency check"):
            return "the connection broke in the middle of a file, try again"
        if _MISSING.fullmatch(type(link).__name__):
            return "there is no such repository or file, or it is not open to everyone"
    text = f"{type(error).__name__}: {_first_line(error)}"
    # `datasets` drops the cause of this one.
    lost = "LocalEntryNotFoundError" in text
    return "it answered with errors or not at all, try again later" if lost else text
