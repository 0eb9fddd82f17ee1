"""A stand-in for the hub: serves data set repositories of a local folder as the hub's API does.

`root/owner/name/...` holds the files of the data set `owner/name`. A process that was started with
`HF_ENDPOINT` set to `url` reads from here. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef" * 2 + "01234567"
_API = re.compile(
    r"/api/datasets/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(?P<sub>/.*)?)?"
)
_FILE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


class HubServer:
    """Serve `root` from a thread, as a context manager; `requests` lists what was asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.requests = Path(root), []
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        match = _API.fullmatch(path) or _FILE.fullmatch(path)
        if not match or not (self.hub.root / match["repo"]).is_dir():
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
        digest = hashlib.sha1(path.read_bytes()).hexdigest()
        return {"type": "file", "path": name, "oid": digest, "size": path.stat().st_size}

    def file(self, path: Path) -> None:
        if not path.is_file():
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        body = path.read_bytes()
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        self.answer(200, body, {"ETag": etag, "X-Repo-Commit": COMMIT})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the test output free of one line a request."""
