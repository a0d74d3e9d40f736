"""The reconciler's loop with a failing scheduler and unexpected errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import httpx
import pytest

from tests.fleet.fleet_fixture import FleetFixture, world_at
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from tests.scheduler.farm_fixture import briefs
from tests.servers.process import wait_until
from tests.servers.scripted_http import ReceivedRequest, Reply, scripted_server
from trackfarm.protocol.operator import JobState
from trackfarm_fleet.app import build
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.cli.background_rounds import Pacing
from trackfarm_fleet.loop import give_back, serve
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings

RULES = ScalingRules(max_machines=2, horizon=600.0, hold=60.0, idle=60.0, tick=20.0)


class Weather:
    """A proxy to the scheduler that answers the first calls itself with `storms`, and a clock that
    fails once after them when `jammed`."""

    def __init__(self, world: FleetFixture) -> None:
        self.world = world
        self.storms: list[Reply] = []
        self.jammed = False

    def reply(self, request: ReceivedRequest) -> Reply:
        if self.storms:
            return self.storms.pop(0)
        url = self.world.api.url.rstrip("/") + request.path
        kept = {"authorization", "content-type"}
        headers = {n: v for n, v in request.headers.items() if n.lower() in kept}
        answer = httpx.request(
            request.method, url, params=request.params, headers=headers, content=request.body
        )
        return Reply(answer.status_code, answer.json() if answer.content else None)

    def now(self) -> float:
        if self.jammed and not self.storms:
            self.jammed = False
            raise OSError("no clock")
        return self.world.account.clock.now

    def breaks(self) -> None:
        busy = Reply(429, {"title": "busy", "status": 429}, {"Retry-After": "60"})
        failed = Reply(500, {"title": "the database is away", "status": 500})
        odd = Reply(422, {"title": "no such field", "status": 422})
        self.storms += [failed, busy, odd]
        self.jammed = True

    def is_over(self) -> bool:
        return not self.storms and not self.jammed


@contextmanager
def under_weather(world: FleetFixture) -> Iterator[tuple[Weather, FleetClient]]:
    weather = Weather(world)
    with (
        scripted_server(weather.reply) as proxy,
        FleetClient(proxy.url, API_KEY, retry_seconds=0) as farm,
    ):
        tags = Tags(farm.fleet_lease().farm)
        settings = FleetSettings.model_validate({"image": "registry.example/worker:1"})
        world.fleet = build(settings, farm, [world.provider], tags=tags, now=weather.now)
        yield weather, farm


@pytest.fixture
def world(api: ApiFixture) -> Iterator[FleetFixture]:
    with world_at("runpod", api) as made:
        yield made


def test_rounds_go_on_through_failures_and_machines_are_given_back(world: FleetFixture) -> None:
    def world_goes_on() -> bool:
        world.live(5.0)
        return False

    job = world.job = world.scene.submit(briefs(30)).job_id
    mandate = RentalPolicy(RULES, purpose=job, model_set="tiny", only=True, budget=5.0)
    with under_weather(world) as (weather, farm):
        weather.breaks()
        with Pacing(world.fleet, farm, mandate, lambda: False, 0.01) as pacing:
            wait_until(
                lambda: bool(world.account.running()), timeout_s=20, what="a machine is rented"
            )
            assert not pacing(0)
        assert pacing.failure is None
        assert weather.is_over()
        weather.breaks()
        serve(world.fleet, mandate, 0.0, weather.is_over)
        weather.breaks()
        still_open = give_back(
            world.fleet, mandate, world_goes_on, why="over", tick=0.01, within=20
        )
        assert still_open == 0
    assert world.account.running() == []


def test_a_key_that_is_not_taken_ends_the_rounds_and_says_so(world: FleetFixture) -> None:
    with FleetClient(world.api.url, "not the key", retry_seconds=0) as farm:
        fleet = build(
            FleetSettings.model_validate({"image": "registry.example/worker:1"}),
            farm,
            [world.provider],
            tags=Tags("x"),
            now=world.account.clock,
        )
        with Pacing(fleet, farm, RentalPolicy(RULES), lambda: False, 0.01) as pacing:
            wait_until(lambda: pacing(0), timeout_s=20, what="the rounds have ended")
        assert pacing.failure is not None
        still_open = give_back(
            fleet, RentalPolicy(RULES), lambda: False, why="over", tick=0.01, within=20
        )
        assert still_open is None


def test_rounds_go_on_when_a_job_was_paused_while_its_end_was_decided(world: FleetFixture) -> None:
    job = world.scene.submit(briefs(4)).job_id
    other = world.scene.submit(briefs(4, word="guitar")).job_id
    world.farm.pause(job)
    poor = RentalPolicy(RULES, purpose=job, model_set="tiny", only=True, budget=1e-6)
    request_count = count()
    with Pacing(world.fleet, world.farm, poor, lambda: next(request_count) > 40, 0.01) as pacing:
        wait_until(lambda: pacing(0), timeout_s=20, what="ten rounds are done")
    assert pacing.failure is None
    states = [world.farm.job(name).state for name in (job, other)]
    assert states == [JobState.PAUSED, JobState.ACCEPTED]
