"""Detection of conditional write support, against servers that ignore conditions or do not know
them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest

from tests.servers.scripted_http import QuietHandler, http_server
from trackfarm_scheduler.objects.s3 import S3Store

HOUR = timedelta(hours=1)
NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
IGNORES, FIRST_LOOK, UNKNOWN = "ignores it", "looks only when a PUT begins", "does not know it"


@contextmanager
def lax_s3(manner: str) -> Iterator[str]:
    """Yield the URL of a minimal S3 server that checks no signature."""
    stored: dict[str, bytes] = {}

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def handle_expect_100(self) -> bool:
            self.was_there = self.path.partition("?")[0] in stored
            return super().handle_expect_100()

        def do_PUT(self) -> None:
            is_conditional = "If-None-Match" in self.headers
            key = self.path.partition("?")[0]
            was_there = self.was_there if "Expect" in self.headers else key in stored
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if is_conditional and manner == UNKNOWN:
                self._answer(501)
            elif is_conditional and manner == FIRST_LOOK and was_there:
                self._answer(412)
            else:
                stored[key] = body
                self._answer(200, etag=hashlib.md5(body, usedforsecurity=False).hexdigest())

        def do_GET(self) -> None:
            body = stored.get(self.path.partition("?")[0])
            if body is None:
                is_bucket = self.path.count("/") == 1
                self._answer(200 if is_bucket else 404, b"" if is_bucket else NO_SUCH_KEY)
            else:
                etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
                self._answer(200, body, etag)

        do_HEAD = do_GET

        def do_DELETE(self) -> None:
            stored.pop(self.path, None)
            self._answer(204)

        def _answer(self, status: int, body: bytes = b"", etag: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
            self.send_header("Content-Type", "application/xml")
            self.send_header("ETag", f'"{etag}"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    with http_server(Handler) as url:
        yield url


@pytest.mark.parametrize("manner", [IGNORES, FIRST_LOOK, UNKNOWN])
def test_check_detects_a_store_without_conditional_writes(manner: str) -> None:
    with lax_s3(manner) as endpoint:
        store = S3Store(
            endpoint=endpoint, bucket="farm", access_key="k", secret_key="s", region="us-east-1"
        )
        assert store.writes_once, "assumed before the check"
        store.check()
        assert not store.writes_once
        signed = store.presign_put("tracks/a", expires=HOUR, once=True)
        sends_condition = "if-none-match" in signed.headers
        assert sends_condition is (manner != UNKNOWN), "an unsupported condition is not sent"
        assert httpx.put(signed.url, content=b"x", headers=dict(signed.headers)).is_success
