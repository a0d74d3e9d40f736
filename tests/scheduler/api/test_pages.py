"""The API page for browsers: served entirely by the scheduler, and working in a browser."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, Switch, problem
from tests.servers.presence import require
from trackfarm_scheduler.api.pages import DOCS

BASIC = ("anybody", API_KEY)


def test_docs_page_and_its_files_are_local_and_need_a_key(api: ApiFixture) -> None:
    page = api.http.get(DOCS, auth=BASIC)
    policy = page.headers["content-security-policy"]
    assert "https:" not in policy
    assert "unsafe" not in policy
    loaded = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for address in loaded:
        assert address.startswith(f"{DOCS}/")
        problem(api.http.get(address), 401)
        assert len(api.http.get(address, auth=BASIC).raise_for_status().content) > 1000
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert scripts.count("'sha256-") == page.text.count("<script>")


@pytest.fixture
def logged_in(api: ApiFixture, served: tuple[Switch, str]) -> Iterator[str]:
    """The scheduler's URL with the key added to each request: a headless browser cannot log in."""
    switch, url = served
    app = switch.app
    field = (b"authorization", f"Bearer {API_KEY}".encode())

    async def with_a_key(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "headers": [*scope.get("headers", ()), field]}, receive, send)

    switch.app = with_a_key
    yield url
    switch.app = app


def test_docs_page_shows_every_operation_in_a_browser(
    api: ApiFixture, logged_in: str, tmp_path: Path
) -> None:
    browser = require(shutil.which("chromium"), "chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    page = ["--virtual-time-budget=8000", "--dump-dom", f"{logged_in}{DOCS}"]
    drawn = subprocess.run(
        [browser, *options, f"--user-data-dir={tmp_path}", *page],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    described = api.http.get("/openapi.json", auth=BASIC).json()["paths"]
    assert drawn.stdout.count('class="opblock-summary-path"') == sum(map(len, described.values()))
    assert "CONSOLE" not in drawn.stderr, "nothing that the page does is refused by its policy"
