"""Model sets with their workers and backlog, and plans, by HTTP and by the command that calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, problem
from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.client import Client, RequestRefused
from trackfarm.cost import TrackShape, seconds
from trackfarm.model_sets import model_set, model_sets
from trackfarm.planning import Plan, PlanLimits, PlanRequest, ShapeCount
from trackfarm.planning.models import SpeedSource
from trackfarm.protocol.operator import TrackState, WorkerState
from trackfarm.protocol.worker import RegisterRequest
from trackfarm.speed_model import SpeedModel
from trackfarm.tiers import tier_of
from trackfarm_scheduler.db import registration, workers
from trackfarm_scheduler.db.tables_history import SpeedRow

TURBO = "acestep-v15-turbo"
WEIGHTS = {"vae": "a" * 64}


def listed(api: ApiFixture) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in api.get("models").json()}


def test_models_have_their_workers_and_backlog(api: ApiFixture) -> None:
    assert listed(api)[TURBO]["is_default"], "the default of ACE-Step's own server without workers"
    me = api.register_worker(digests=WEIGHTS)
    job_id = api.farm.submit(briefs(5)).job_id
    api.farm.submit(briefs(2, word="harp"), catalog="later", kind=TURBO, owner="another")
    two = api.farm.owned_tracks(job_id, TrackState.PENDING)[:2]
    api.farm.offer(api.farm.worker(me["worker_id"]), job_id, two)
    tiny, turbo = listed(api)["tiny"], listed(api)[TURBO]
    assert (tiny["workers_ready"], tiny["workers_busy"], tiny["tier"]) == (1, 0, None)
    assert (tiny["tracks_pending"], tiny["tracks_leased"]) == (3, 2)
    assert (tiny["is_default"], tiny["digests"]) == (True, [WEIGHTS])
    assert (turbo["workers_ready"], turbo["tier"], turbo["digests"]) == (0, "vram4", [])
    assert (turbo["tracks_pending"], turbo["is_default"]) == (2, False)
    api.post(f"jobs/{job_id}/pause")
    assert listed(api)["tiny"]["tracks_pending"] == 0, "a paused job is no backlog"


def test_models_are_listed_once_over_all_pages(api: ApiFixture) -> None:
    names: list[str] = []
    answer = api.get("models", limit=4)
    while "next" in answer.links:
        names += [row["name"] for row in answer.json()]
        answer = api.http.get(answer.links["next"]["url"], headers=answer.request.headers)
    names += [row["name"] for row in answer.json()]
    assert names == sorted(model_sets())
    problem(api.get("models", cursor="nonsense"), 422)
    problem(api.get("models", key="wrong"), 401)


CARD = "NVIDIA GeForce RTX 4090"


SHAPE = TrackShape(180, 8, False)


@pytest.fixture
def farm_url(api: ApiFixture) -> str:
    """URL of a farm that measured ten tracks on 4090s, twice as slow as the prior."""
    kind = model_set("acestep-v15-turbo")
    model = SpeedModel(CARD, kind)
    for _ in range(10):
        model = model.observe(SHAPE, 2 * seconds(SHAPE, gpu=CARD, model_set=kind))
    with api.farm.database.write() as session:
        session.add(SpeedRow(gpu=CARD, model_set=kind.name, stats=model.to_json()))
    return api.url


def join(
    farm: FarmFixture, name: str, *, price: float = 0.0, kind: str = "acestep-v15-turbo"
) -> None:
    request = RegisterRequest(
        name=name, gpu=CARD, memory_mib=24_564, model_set=kind, price_per_hour=price
    )
    tier = tier_of(request.memory_mib)
    assert tier is not None
    with farm.database.write() as session:
        joined = registration.join(session, request, tier, farm.clock())
        worker = workers.find_by_token(session, joined.token)
        assert worker is not None
        worker.state = WorkerState.READY


def request(*, kind: str = "acestep-v15-turbo", limits: PlanLimits | None = None) -> PlanRequest:
    tracks = ShapeCount(duration=180, steps=8, guided=False, min_vram=16, count=1_000)
    return PlanRequest(model_set=kind, tracks=[tracks], limits=limits or PlanLimits())


def test_plan_is_for_the_present_workers(farm_url: str, sqlite_farm: FarmFixture) -> None:
    for name, price in (("a", 0.3), ("b", 0.3), ("c", 0.0)):
        join(sqlite_farm, name, price=price)
    join(sqlite_farm, "other", kind="tiny")
    sqlite_farm.submit(briefs(3))
    with Client(farm_url, API_KEY) as client:
        plan = client.plan(request(limits=PlanLimits(deadline_seconds=86_400, budget=5)))
    each = 2 * seconds(SHAPE, gpu=CARD, model_set=model_set("acestep-v15-turbo"))
    assert plan.eta_seconds is not None
    assert plan.eta_seconds.expected == pytest.approx(1_000 * each / 3, rel=0.1)
    assert [(g.count, g.price, g.boot_hours) for g in plan.groups] == [(1, 0, 0), (2, 0.3, 0)]
    assert {(g.source, g.tracks_measured) for g in plan.groups} == {(SpeedSource.MEASURED, 10)}
    assert plan.cost.total.expected == pytest.approx(plan.eta_seconds.expected / 3600 * 0.6)
    assert plan.is_feasible
    assert "3 tracks of jobs submitted earlier" in plan.notes[0]


def test_plan_uses_measured_speeds_for_gpus_to_rent(
    farm_url: str, sqlite_farm: FarmFixture
) -> None:
    join(sqlite_farm, "a", price=0.34)
    with Client(farm_url, API_KEY) as client:
        plan = client.plan(request())
    rented = [option for option in plan.alternatives if "RTX 4090" in option.fleet]
    each = 2 * seconds(SHAPE, gpu=CARD, model_set=model_set("acestep-v15-turbo"))
    assert rented
    for option in rented:
        assert option.cost.expected > 1_000 * 0.9 * each / 3600 * 0.34


def test_plan_says_when_no_worker_serves_the_model_set(farm_url: str) -> None:
    with Client(farm_url, API_KEY) as client:
        plan = client.plan(request())
    assert plan.eta_seconds is None
    assert "no worker serves acestep-v15-turbo" in plan.unfit[0].reason


def test_plan_refuses_a_malformed_request(farm_url: str) -> None:
    with Client(farm_url, API_KEY) as client, pytest.raises(RequestRefused) as told:
        client.plan(request(kind="nope"))
    assert told.value.problem.status == 422
    with (
        Client(farm_url, "another key that is wrong") as client,
        pytest.raises(RequestRefused) as told,
    ):
        client.plan(request())
    assert told.value.problem.status == 401


def test_plan_command_asks_the_farm(
    farm_url: str, sqlite_farm: FarmFixture, tmp_path: Path
) -> None:
    join(sqlite_farm, "a")
    catalog = tmp_path / "hotel.csv"
    catalog.write_text("prompt,duration\ncalm piano,180\n")
    environment = {"TRACKFARM_URL": farm_url, "TRACKFARM_API_KEY": API_KEY, "COLUMNS": "160"}

    def asked(*more: str) -> str:
        options = ["--model-set", "acestep-v15-turbo", "--deadline", "1h", *more]
        command = [sys.executable, "-m", "trackfarm.cli", "plan", str(catalog), *options]
        return subprocess.run(
            command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
        ).stdout

    assert "measured (10 tracks)" in asked()
    assert json.loads(asked("--json"))["fleet"] == f"1x {CARD} @0"


def test_plan_of_a_job_is_kept_from_its_submission(api: ApiFixture) -> None:
    api.farm.join()
    job_id = api.submit(briefs(5, duration=60)).json()["job"]["id"]
    kept = api.get(f"jobs/{job_id}").json()["plan"]
    plan = Plan.model_validate(kept)
    assert plan.tracks == 5
    assert json.loads(api.farm.job(job_id).plan) == kept
    worker = api.farm.join("late")
    offer = api.farm.lease(worker, job_id)
    ids = api.farm.track_ids(job_id)
    done = [api.farm.upload(offer, i, service=500.0) for i in ids]
    api.farm.report(worker, offer, done=done)
    assert api.get(f"jobs/{job_id}").json()["plan"] == kept, "whatever was learnt since"
    assert api.submit(briefs(5, duration=60)).json()["already_submitted"] is True
    assert api.get(f"jobs/{job_id}").json()["plan"] == kept


def test_plan_is_missing_for_a_catalog_that_is_done(api: ApiFixture) -> None:
    first = api.submit(briefs(2)).json()["job"]["id"]
    turned = api.submit(briefs(2)[::-1]).json()["job"]
    assert turned["id"] != first
    assert turned["plan"] is None
