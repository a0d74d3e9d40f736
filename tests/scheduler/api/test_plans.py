"""`POST /api/v1/plans` over HTTP, and the command that asks it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from typer.testing import CliRunner

from tests.scheduler.scene import Scene, briefs
from tests.servers.web import listening_socket, serving
from trackfarm.api import WorkerState
from trackfarm.cli import app as command_line
from trackfarm.client import Farm as Client
from trackfarm.client import Refused
from trackfarm.cost import TrackShape, seconds
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.planning import Limits, PlanRequest, ShapeCount
from trackfarm.planning.records import SpeedSource
from trackfarm.speed import SpeedModel
from trackfarm.tiers import tier_of
from trackfarm.wire import RegisterRequest
from trackfarm_scheduler.api import problems
from trackfarm_scheduler.api.plans import plans_router
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.loops import Loop
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.store import workers

KEY = "operator-key-of-the-tests"
NOWHERE = "redis://127.0.0.1:1/0"
CARD = "NVIDIA GeForce RTX 4090"
SHAPE = TrackShape(180, 8, False)


def learned(gpu: str, kind: ModelSet) -> SpeedModel:
    """Of 4090s the farm has seen ten tracks, twice as slow as the prior."""
    model = SpeedModel(gpu, kind)
    if gpu == CARD:
        for _ in range(10):
            model = model.observe(SHAPE, 2 * seconds(SHAPE, gpu=gpu, model_set=kind))
    return model


@pytest.fixture
def farm_url(sqlite_scene: Scene) -> Iterator[str]:
    secret = SecretStr("a-secret-of-the-tests")
    settings = SchedulerSettings(
        broker_url=SecretStr(NOWHERE),
        objects_url="file:///nowhere",
        api_key=SecretStr(KEY),
        join_token=secret,
        signing_secret=secret,
    )
    idle = Loop("idle", lambda: None, seconds=1)
    app = FastAPI()
    app.state.farm = Farm(
        settings=settings,
        database=sqlite_scene.database,
        objects=sqlite_scene.objects,
        broker=Broker(NOWHERE),
        recorder=sqlite_scene.recorder,
        placing=idle,
        settling=idle,
        clock=sqlite_scene.clock,
    )
    problems.install(app)
    app.include_router(plans_router(learned))
    with listening_socket() as (listener, url), serving(app, listener):
        yield url


def join(scene: Scene, name: str, *, price: float = 0.0, kind: str = "acestep-v15-turbo") -> None:
    request = RegisterRequest(
        name=name, gpu=CARD, memory_mib=24_564, model_set=kind, price_per_hour=price
    )
    tier = tier_of(request.memory_mib)
    assert tier is not None
    with scene.database.write() as session:
        joined = workers.join(session, request, tier, scene.clock())
        worker = workers.by_token(session, joined.token)
        assert worker is not None
        worker.state = WorkerState.READY


def request(*, kind: str = "acestep-v15-turbo", limits: Limits | None = None) -> PlanRequest:
    tracks = ShapeCount(duration=180, steps=8, guided=False, min_vram=16, count=1_000)
    return PlanRequest(model_set=kind, tracks=[tracks], limits=limits or Limits())


def test_the_plan_is_for_the_workers_that_are_here(farm_url: str, sqlite_scene: Scene) -> None:
    for name, price in (("a", 0.3), ("b", 0.3), ("c", 0.0)):
        join(sqlite_scene, name, price=price)
    join(sqlite_scene, "other", kind="tiny")
    sqlite_scene.submit(briefs(3))
    with Client(farm_url, KEY) as client:
        plan = client.plan(request(limits=Limits(deadline_seconds=86_400, budget=5)))
    each = 2 * seconds(SHAPE, gpu=CARD, model_set=model_set("acestep-v15-turbo"))
    assert plan.eta_seconds is not None
    assert plan.eta_seconds.expected == pytest.approx(1_000 * each / 3, rel=0.1)
    assert [(g.count, g.price, g.boot_hours) for g in plan.groups] == [(1, 0, 0), (2, 0.3, 0)]
    assert {(g.source, g.tracks_measured) for g in plan.groups} == {(SpeedSource.MEASURED, 10)}
    assert plan.cost.total.expected == pytest.approx(plan.eta_seconds.expected / 3600 * 0.6)
    assert plan.is_feasible
    assert "3 tracks of jobs that are here already" in plan.notes[0]


def test_what_was_measured_counts_for_cards_that_could_be_rented(
    farm_url: str, sqlite_scene: Scene
) -> None:
    join(sqlite_scene, "a", price=0.34)
    with Client(farm_url, KEY) as client:
        plan = client.plan(request())
    rented = [option for option in plan.alternatives if "RTX 4090" in option.fleet]
    each = 2 * seconds(SHAPE, gpu=CARD, model_set=model_set("acestep-v15-turbo"))
    assert rented
    for option in rented:
        assert option.cost.expected > 1_000 * 0.9 * each / 3600 * 0.34


def test_a_farm_without_a_worker_for_it_says_so(farm_url: str) -> None:
    with Client(farm_url, KEY) as client:
        plan = client.plan(request())
    assert plan.eta_seconds is None
    assert "no worker serves acestep-v15-turbo" in plan.unfit[0].reason


def test_a_request_that_cannot_be_understood_is_refused(farm_url: str) -> None:
    with Client(farm_url, KEY) as client, pytest.raises(Refused) as told:
        client.plan(request(kind="nope"))
    assert told.value.problem.status == 422
    with Client(farm_url, "another key that is wrong") as client, pytest.raises(Refused) as told:
        client.plan(request())
    assert told.value.problem.status == 401


def test_the_command_asks_the_farm(
    farm_url: str, sqlite_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(sqlite_scene, "a")
    catalog = tmp_path / "hotel.csv"
    catalog.write_text("prompt,duration\ncalm piano,180\n")
    monkeypatch.setenv("TRACKFARM_URL", farm_url)
    monkeypatch.setenv("TRACKFARM_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["plan", str(catalog), "--model-set", "acestep-v15-turbo", "--deadline", "1h"]
    shown = CliRunner().invoke(command_line, arguments)
    assert shown.exit_code == 0, shown.output
    assert "measured (10 tracks)" in shown.stdout
    asked = CliRunner().invoke(command_line, [*arguments, "--json"])
    assert json.loads(asked.stdout)["fleet"] == f"1x {CARD} @0"
