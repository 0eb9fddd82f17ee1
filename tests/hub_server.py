"""A stand-in for the hub: serves data sets and models of a local folder as the hub's API does.

`root/owner/name/...` holds the files of the repository `owner/name`. A process that was started
with `HF_ENDPOINT` set to `url` reads from here, and one that has `url` as its HTTP proxy. Files
get the ETag that the hub gives: the SHA-256 of large files, the git hash of others. Large files are
offered by "xet" as well, which does not work here. `fail` plants faults.
Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef" * 2 + "01234567"
_LARGE = (".parquet", ".safetensors")
_API = re.compile(
    r"/api/(?:datasets|models)/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(?P<sub>/.*)?)?"
)
_FILE = re.compile(r"/(?:datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


class HubServer:
    """Serve `root` from a thread, as a context manager; `requests` lists what was asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.requests, self.faults = Path(root), [], []
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, how: str, where: str = "", times: int = 1000) -> None:
        """Let the next `times` requests fail whose "GET /path" has the pattern `where` in it.

        "busy" answers 503, "silent" never answers, "stall" stops in the middle of the body and
        holds the connection, "cut" closes it there, "reset" breaks it there, "damage" changes one
        byte.
        """
        self.faults.append([re.compile(where), how, times])

    def fault(self, request: str) -> str:
        """What shall go wrong with this request."""
        for fault in self.faults:
            if fault[2] and fault[0].search(request):
                fault[2] -= 1
                return fault[1]
        return ""


def git_hash(body: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        self.how = self.hub.fault(request)
        match = _API.fullmatch(path) or _FILE.fullmatch(path)
        if self.how == "silent":
            self.hub.closing.wait(60)
        elif self.how == "busy":
            self.answer(503, b"", {})
        elif not match or not (self.hub.root / match["repo"]).is_dir():
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif match.re is _FILE:
            self.file(self.hub.root / match["repo"] / match["file"])
        else:
            self.api(match)

    do_HEAD = do_POST = do_GET

    def api(self, match: re.Match) -> None:
        repository = self.hub.root / match["repo"]
        if match["what"] == "tree":
            folder = repository / (match["sub"] or "").strip("/")
            reply = [self.entry(repository, path) for path in sorted(folder.rglob("*"))]
        elif match["what"] == "paths-info":
            reply = [self.entry(repository, path) for path in sorted(repository.rglob("*"))]
        else:
            files = [path for path in sorted(repository.rglob("*")) if path.is_file()]
            names = [{"rfilename": path.relative_to(repository).as_posix()} for path in files]
            reply = {"id": match["repo"], "sha": COMMIT, "private": False, "siblings": names}
        self.answer(200, json.dumps(reply).encode(), {"Content-Type": "application/json"})

    def entry(self, repository: Path, path: Path) -> dict:
        name = path.relative_to(repository).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": COMMIT}
        body = path.read_bytes()
        large = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
        return {
            **{"type": "file", "path": name, "oid": git_hash(body), "size": len(body)},
            **({"lfs": large} if path.suffix in _LARGE else {}),
        }

    def file(self, path: Path) -> None:
        if not path.is_file():
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        body = path.read_bytes()
        sha256, large = hashlib.sha256(body).hexdigest(), path.suffix in _LARGE
        headers = {"ETag": f'"{sha256 if large else git_hash(body)}"', "X-Repo-Commit": COMMIT}
        if large:
            headers |= {"X-Xet-Hash": sha256, "X-Xet-Refresh-Route": f"{self.hub.url}/xet"}
        if self.how == "damage":
            body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if not begin:
            self.answer(200, body, headers)
            return
        first = int(begin[1])
        headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.answer(206, body[first:], headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        broken = self.how in ("stall", "cut", "reset")
        self.wfile.write(body[: len(body) // 2] if broken else body)
        if self.how == "stall":
            self.hub.closing.wait(60)
        if self.how == "reset":  # closing at once, with a reset in place of an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *arguments: object) -> None:
        """Keep the test output free of one line a request."""
