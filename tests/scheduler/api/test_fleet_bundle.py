"""The bundle that machines install: shown to the fleet, downloaded with a join token only."""

import hashlib
from dataclasses import replace
from pathlib import Path

import httpx
from fastapi import FastAPI

from tests.scheduler.api_fixture import JOIN_TOKEN, ApiFixture, Switch, problem
from trackfarm.protocol.worker import BUNDLE


def fetched(api: ApiFixture, token: str) -> httpx.Response:
    return api.http.get(BUNDLE, headers={"Authorization": f"Bearer {token}"})


def test_bundle_matches_its_digest(
    api: ApiFixture, served: tuple[Switch, str], tmp_path: Path
) -> None:
    assert "TRACKFARM_SCHEDULER_BUNDLE" in problem(api.get("fleet/bundle"), 404)["detail"]
    problem(fetched(api, JOIN_TOKEN), 404)
    path = tmp_path / "bundle.tar.gz"
    app = served[0].app
    assert isinstance(app, FastAPI)
    settings = app.state.services.settings.model_copy(update={"bundle": path})
    app.state.services = replace(app.state.services, settings=settings)
    problem(fetched(api, JOIN_TOKEN), 404)
    for content in (b"one", b"another"):
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        assert api.get("fleet/bundle").json() == {"sha256": digest, "size": len(content)}
        assert fetched(api, JOIN_TOKEN).content == content


def test_bundle_is_hidden_without_a_token(api: ApiFixture) -> None:
    problem(fetched(api, "a-guess"), 401)
    problem(api.http.get(BUNDLE), 401)
    problem(api.get("fleet/bundle", key="a-guess"), 401)
