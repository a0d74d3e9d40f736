"""The reconciler's loop with a failing scheduler and unexpected errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import httpx
import pytest
from structlog.testing import capture_logs

from tests.fleet.fleet_fixture import FleetFixture, open_fleet_fixture
from tests.scheduler.api_fixture import API_KEY, ApiFixture
from tests.scheduler.farm_fixture import briefs
from tests.servers.process import wait_until
from tests.servers.scripted_http import ReceivedRequest, Reply, scripted_server
from trackfarm.protocol.operator import JobState
from trackfarm_fleet.app import build_reconciler
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.cli.background_rounds import BackgroundRounds
from trackfarm_fleet.loop import return_machines, run_rounds
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings

RULES = ScalingRules(
    max_machines=2,
    horizon_seconds=600.0,
    min_hold_seconds=60.0,
    idle_timeout_seconds=60.0,
    tick_seconds=20.0,
)


class FlakyScheduler:
    """A proxy to the scheduler that answers the first calls itself with `scripted_answers`, and a clock that
    fails once after them when `clock_fails`."""

    def __init__(self, fixture: FleetFixture) -> None:
        self.fixture = fixture
        self.scripted_answers: list[Reply] = []
        self.clock_fails = False

    def reply(self, request: ReceivedRequest) -> Reply:
        if self.scripted_answers:
            return self.scripted_answers.pop(0)
        url = self.fixture.api.url.rstrip("/") + request.path
        kept = {"authorization", "content-type"}
        headers = {n: v for n, v in request.headers.items() if n.lower() in kept}
        answer = httpx.request(
            request.method, url, params=request.params, headers=headers, content=request.body
        )
        return Reply(answer.status_code, answer.json() if answer.content else None)

    def now(self) -> float:
        if self.clock_fails and not self.scripted_answers:
            self.clock_fails = False
            raise OSError("no clock")
        return self.fixture.account.clock.now

    def break_next_calls(self) -> None:
        busy = Reply(429, {"title": "busy", "status": 429}, {"Retry-After": "60"})
        failed = Reply(500, {"title": "the database is away", "status": 500})
        odd = Reply(422, {"title": "no such field", "status": 422})
        self.scripted_answers += [failed, busy, odd]
        self.clock_fails = True

    def is_over(self) -> bool:
        return not self.scripted_answers and not self.clock_fails


@contextmanager
def flaky_scheduler(fixture: FleetFixture) -> Iterator[tuple[FlakyScheduler, FleetClient]]:
    flaky = FlakyScheduler(fixture)
    with (
        scripted_server(flaky.reply) as proxy,
        FleetClient(proxy.url, API_KEY, retry_seconds=0) as farm,
    ):
        tags = Tags(farm.fleet_lease().farm)
        settings = FleetSettings.model_validate({"image": "registry.example/worker:1"})
        fixture.fleet = build_reconciler(
            settings, farm, [fixture.provider], tags=tags, now=flaky.now
        )
        yield flaky, farm


@pytest.fixture
def fixture(api: ApiFixture) -> Iterator[FleetFixture]:
    with open_fleet_fixture("runpod", api) as opened:
        yield opened


def test_run_rounds_survives_failures_and_return_machines_ends_them(fixture: FleetFixture) -> None:
    def advance_and_continue() -> bool:
        fixture.live(5.0)
        return False

    job = fixture.job = fixture.scene.submit(briefs(30)).job_id
    policy = RentalPolicy(RULES, purpose=job, model_set="tiny", is_exclusive=True, budget=5.0)
    # Captured because structlog's default formats each traceback for seconds.
    with capture_logs() as logs, flaky_scheduler(fixture) as (flaky, farm):
        flaky.break_next_calls()
        with BackgroundRounds(fixture.fleet, farm, policy, lambda: False, 0.01) as rounds:
            wait_until(
                lambda: bool(fixture.account.running()), timeout_s=20, what="a machine is rented"
            )
            assert not rounds(0)
        assert rounds.failure is None
        assert flaky.is_over()
        flaky.break_next_calls()
        run_rounds(fixture.fleet, policy, 0.0, flaky.is_over)
        flaky.break_next_calls()
        still_open = return_machines(
            fixture.fleet,
            policy,
            advance_and_continue,
            reason="over",
            tick_seconds=0.01,
            timeout_seconds=20,
        )
        assert still_open == 0
    assert fixture.account.running() == []
    assert {"scheduler_unreachable", "round_failed"} <= {entry["event"] for entry in logs}


def test_background_rounds_stop_at_a_rejected_api_key(fixture: FleetFixture) -> None:
    with FleetClient(fixture.api.url, "not the key", retry_seconds=0) as farm:
        fleet = build_reconciler(
            FleetSettings.model_validate({"image": "registry.example/worker:1"}),
            farm,
            [fixture.provider],
            tags=Tags("x"),
            now=fixture.account.clock,
        )
        with BackgroundRounds(fleet, farm, RentalPolicy(RULES), lambda: False, 0.01) as rounds:
            wait_until(lambda: rounds(0), timeout_s=20, what="the rounds have ended")
        assert rounds.failure is not None
        still_open = return_machines(
            fleet,
            RentalPolicy(RULES),
            lambda: False,
            reason="over",
            tick_seconds=0.01,
            timeout_seconds=20,
        )
        assert still_open is None


def test_background_rounds_continue_if_the_job_was_paused(fixture: FleetFixture) -> None:
    job = fixture.scene.submit(briefs(4)).job_id
    other = fixture.scene.submit(briefs(4, word="guitar")).job_id
    fixture.farm.pause(job)
    poor = RentalPolicy(RULES, purpose=job, model_set="tiny", is_exclusive=True, budget=1e-6)
    request_count = count()
    with BackgroundRounds(
        fixture.fleet, fixture.farm, poor, lambda: next(request_count) > 40, 0.01
    ) as rounds:
        wait_until(lambda: rounds(0), timeout_s=20, what="ten rounds are done")
    assert rounds.failure is None
    states = [fixture.farm.job(name).state for name in (job, other)]
    assert states == [JobState.PAUSED, JobState.ACCEPTED]
