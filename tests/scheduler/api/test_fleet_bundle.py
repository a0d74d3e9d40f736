"""The bundle that machines install: shown to the fleet, downloaded with a join token only."""

import hashlib
from dataclasses import replace
from pathlib import Path

import httpx
from fastapi import FastAPI

from tests.scheduler.api.conftest import JOIN_TOKEN, ApiFixture, Switch, problem
from trackfarm.protocol.worker import BUNDLE


def fetched(door: ApiFixture, token: str) -> httpx.Response:
    return door.http.get(BUNDLE, headers={"Authorization": f"Bearer {token}"})


def test_it_is_what_its_digest_says(
    door: ApiFixture, served: tuple[Switch, str], tmp_path: Path
) -> None:
    assert "TRACKFARM_SCHEDULER_BUNDLE" in problem(door.get("fleet/bundle"), 404)["detail"]
    problem(fetched(door, JOIN_TOKEN), 404)
    path = tmp_path / "bundle.tar.gz"
    app = served[0].app
    assert isinstance(app, FastAPI)
    settings = app.state.farm.settings.model_copy(update={"bundle": path})
    app.state.farm = replace(app.state.farm, settings=settings)
    problem(fetched(door, JOIN_TOKEN), 404)
    for content in (b"one", b"another"):
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        assert door.get("fleet/bundle").json() == {"sha256": digest, "size": len(content)}
        assert fetched(door, JOIN_TOKEN).content == content


def test_a_stranger_does_not_learn_whether_there_is_one(door: ApiFixture) -> None:
    problem(fetched(door, "a-guess"), 401)
    problem(door.http.get(BUNDLE), 401)
    problem(door.get("fleet/bundle", key="a-guess"), 401)
