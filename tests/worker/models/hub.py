"""Small Hugging Face hub on loopback: enough of its HTTP API for `huggingface_hub` itself."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.servers.scripted_http import QuietHandler, http_server


def commit_of(repository: str) -> str:
    return hashlib.sha1(repository.encode(), usedforsecurity=False).hexdigest()


class Hub:
    """Server of `repositories` by name, each at one commit, which is also `main`.

    `requests` has "METHOD path" and `served` the files that were sent completely, in order. Requests
    for the file `broken` get status 403.
    """

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, Path] = {}
        self.requests: list[str] = []
        self.served: list[str] = []
        self.broken = ""

    def files(self, repository: str) -> list[str]:
        root = self.repositories[repository]
        return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def _handler(hub: Hub) -> type[QuietHandler]:
    class HubHandler(QuietHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            hub.requests.append(f"{self.command} {path}")
            parts = path.split("/")
            if parts[:2] == ["api", "models"]:
                self._describe("/".join(parts[2:4]), parts[4], parts[5])
            else:
                self._send_file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

        do_HEAD = do_GET

        def _describe(self, repository: str, kind: str, revision: str) -> None:
            if repository not in hub.repositories or revision not in {
                "main",
                commit_of(repository),
            }:
                return self._refuse()
            root = hub.repositories[repository]
            files = hub.files(repository)
            if kind == "tree":
                rows = [
                    {"type": "file", "path": f, "size": (root / f).stat().st_size, "oid": "0" * 40}
                    for f in files
                ]
                return self._send(json.dumps(rows).encode())
            siblings = [{"rfilename": name} for name in files]
            about = {
                "id": repository,
                "sha": commit_of(repository),
                "siblings": siblings,
                "private": False,
            }
            self._send(json.dumps(about).encode())

        def _send_file(self, repository: str, revision: str, name: str) -> None:
            path = hub.repositories[repository] / name
            if not path.is_file():
                return self._refuse()
            content = path.read_bytes()
            headers = {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": commit_of(repository),
            }
            if name == hub.broken:
                return self._send(b"{}", status=403)
            self._send(content, headers)
            if self.command == "GET":
                hub.served.append(name)

        def _refuse(self) -> None:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

        def _send(
            self, body: bytes, headers: dict[str, str] | None = None, status: int = 200
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {"Content-Type": "application/json"}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return HubHandler


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    served = Hub()
    with http_server(_handler(served)) as served.url:
        yield served
