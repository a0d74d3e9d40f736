"""Fleet API: one leader, late decisions change nothing, and lost requests can be repeated."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, create_key, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.client.errors import RequestRefused
from trackfarm.protocol.accounts import Scope
from trackfarm.protocol.fleet import (
    FleetLease,
    FleetState,
    IntentAnswer,
    RentalInfo,
    RentalPlan,
    RentalState,
    RentalStatus,
    RentalUsage,
)
from trackfarm_fleet.scheduler_client import USAGE_PAGE, FleetClient, is_stale

BEARER = {"Authorization": f"Bearer {API_KEY}"}
TAG = "tf-hotel-0123456789abcdef"
S = RentalState


class Desk:
    """A fleet process from the scheduler's point of view."""

    def __init__(self, api: ApiFixture, holder: str = "one") -> None:
        self.api, self.holder = api, holder

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = f"{self.api.url}/api/v1/fleet/{path}"
        return self.api.http.request(method, url, json=body, headers=BEARER)

    def hold(self, seconds: float = 60) -> FleetLease:
        answer = self.ask("POST", "lease", {"holder": self.holder, "seconds": seconds})
        return FleetLease.model_validate(answer.json())

    def plan(self, **changes: Any) -> dict[str, Any]:
        base = RentalPlan(
            tag=TAG,
            provider="vast",
            gpu="RTX 4090",
            gpus=2,
            vram=24,
            model_set="tiny",
            price_per_hour=0.8,
            intended_at=self.api.farm.clock(),
        )
        return base.model_dump() | changes

    def intend(self, epoch: int = 1, **changes: Any) -> httpx.Response:
        return self.ask("POST", "rentals", {"epoch": epoch, "plan": self.plan(**changes)})

    def intended(self) -> IntentAnswer:
        self.hold()
        return IntentAnswer.model_validate(self.intend().json())

    def move(self, rental: RentalInfo, epoch: int = 1, **changes: Any) -> httpx.Response:
        status = rental.status.model_dump(mode="json") | changes
        body = {"epoch": epoch, "version": rental.version, "status": status}
        return self.ask("PUT", f"rentals/{rental.tag}", body)

    def moved(self, rental: RentalInfo, **changes: Any) -> RentalInfo:
        answer = self.move(rental, **changes)
        assert answer.status_code == 200, answer.text
        return RentalInfo.model_validate(answer.json())

    def situation(self) -> FleetState:
        return FleetState.model_validate(self.ask("GET", "state").json())


@pytest.fixture
def desk(api: ApiFixture) -> Desk:
    return Desk(api)


def joined(api: ApiFixture, token: str, name: str) -> dict[str, Any]:
    facts = {"name": name, "gpu": "RTX 4090", "memory_mib": 24_564, "model_set": "tiny"}
    answer = api.post_as_worker("register", token, facts | {"price_per_hour": 9, "provider": "me"})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_lease_has_one_holder_until_it_expires_or_is_released(api: ApiFixture, desk: Desk) -> None:
    other = Desk(api, "other")
    first = desk.hold()
    assert (first.holder, first.epoch, first.seconds) == ("one", 1, 60)
    assert other.hold() == first, "who comes second is told who leads"
    api.farm.clock.advance(61)
    taken = other.hold()
    assert (taken.holder, taken.epoch, taken.farm) == ("other", 2, first.farm)
    assert desk.hold().holder == "other"
    assert other.ask("DELETE", "lease/other").status_code == 204
    assert desk.hold().epoch == 3


def test_former_leader_changes_nothing(api: ApiFixture, desk: Desk) -> None:
    rental = desk.intended().rental
    api.farm.clock.advance(61)
    Desk(api, "other").hold()
    assert "leader" in problem(desk.move(rental, reason="too late"), 409)["detail"]
    assert "leader" in problem(desk.intend(tag=TAG[:-1] + "0"), 409)["detail"]
    (kept,) = desk.situation().rentals
    assert kept == rental


def test_move_refuses_an_older_version_and_accepts_a_repeated_request(
    desk: Desk,
) -> None:
    rental = desk.intended().rental
    change = {"state": S.CREATED, "provider_id": "7", "created_at": 1.0}
    after = desk.moved(rental, **change)
    assert (after.version, after.status.state) == (1, S.CREATED)
    assert desk.moved(rental, **change) == after, "the answer was lost"
    assert "version 1" in problem(desk.move(rental, state=S.ENDED), 409)["detail"]


@pytest.mark.parametrize(("before", "after"), [(S.CREATED, S.INTENDED), (S.ENDED, S.CREATED)])
def test_move_never_returns_to_an_earlier_state(
    desk: Desk, before: RentalState, after: RentalState
) -> None:
    rental = desk.moved(desk.intended().rental, state=before, ended_at=2.0)
    assert "never becomes" in problem(desk.move(rental, state=after), 409)["detail"]


def test_intent_invites_one_worker_per_gpu(api: ApiFixture, desk: Desk) -> None:
    lost, told = desk.intended(), desk.intended()
    problem(api.post_as_worker("register", lost.token, {"name": "x"}), 422)
    facts = {"name": "x", "gpu": "x", "memory_mib": 24_564, "model_set": "tiny"}
    problem(api.post_as_worker("register", lost.token, facts), 401)
    workers = [joined(api, told.token, name) for name in ("left", "right")]
    problem(api.post_as_worker("register", told.token, facts), 401)
    ids = [worker["worker_id"] for worker in workers]
    row = api.farm.worker(ids[0])
    assert (row.provider, row.rental_tag, row.price_per_hour) == ("vast", TAG, 0.4)
    assert {worker.id for worker in desk.situation().workers} == set(ids)
    assert told.token not in api.get("events").text
    problem(desk.intend(vram=48), 409)


def test_ending_a_rental_ends_its_workers(api: ApiFixture, desk: Desk) -> None:
    told = desk.intended()
    worker = joined(api, told.token, "left")
    assert api.post_as_worker("heartbeat", worker["token"]).status_code == 200
    desk.moved(told.rental, state=S.ENDED, ended_at=5.0)
    problem(api.post_as_worker("heartbeat", worker["token"]), 401)
    facts = {"name": "x", "gpu": "x", "memory_mib": 24_564, "model_set": "tiny"}
    problem(api.post_as_worker("register", told.token, facts), 401)
    problem(api.post_as_worker("register", worker["token"], facts), 401)


def test_draining_a_rental_lets_its_worker_finish_and_leave(api: ApiFixture, desk: Desk) -> None:
    told, farm = desk.intended(), api.farm
    said = joined(api, told.token, "left")
    job = farm.submit(briefs(2)).job_id
    api.post_as_worker("heartbeat", said["token"])
    worker = farm.worker(said["worker_id"])
    offer = farm.lease(worker, job)
    assert desk.ask("POST", f"rentals/{TAG}/drain").json()[0]["state"] == "draining"
    progress = {"shard_id": offer.shard_id, "lease_id": offer.lease_id, "stage": "computing"}
    busy = api.post_as_worker("heartbeat", said["token"], {"shards": [progress]}).json()
    assert (list(busy["leases"]), busy["commands"]) == ([offer.lease_id], [])
    farm.finish(worker, offer)
    (command,) = api.post_as_worker("heartbeat", said["token"]).json()["commands"]
    assert command["kind"] == "drain"
    api.post_as_worker("heartbeat", said["token"], {"draining": True})
    assert api.post_as_worker("leave", said["token"]).status_code == 200
    assert farm.states(job) == {"done": 2}
    assert desk.situation().workers[0].state == "gone"


def test_draining_a_worker_leaves_the_others(api: ApiFixture) -> None:
    said = api.register_worker()
    api.post_as_worker("heartbeat", said["token"])
    assert api.post(f"workers/{said['worker_id']}/drain").json()["state"] == "draining"
    (command,) = api.post_as_worker("heartbeat", said["token"]).json()["commands"]
    assert command["kind"] == "drain"
    problem(api.post("workers/worker_nobody/drain"), 404)


def test_state_has_demand_deadlines_and_budgets(api: ApiFixture, desk: Desk) -> None:
    farm, told = api.farm, desk.intended()
    worker = farm.worker(joined(api, told.token, "left")["worker_id"])
    farm.heartbeat(worker)
    now = farm.clock()
    whole = farm.submit(briefs(3), budget=2.0)
    farm.submit(briefs(2, word="flute", duration=60.4), catalog="lobby", deadline=_in(now, 3600))
    farm.lease(worker, whole.job_id, farm.track_ids(whole.job_id)[:1])
    farm.clock.advance(10)
    look = desk.situation()
    (demand,) = look.demands
    assert demand.model_set == "tiny"
    assert sorted((s.duration, s.count) for s in demand.shapes) == [(10, 3), (60.4, 2)]
    assert sum(demand.waiting.values()) == 4
    limits = sorted((j.tracks, j.deadline, j.budget) for j in demand.jobs)
    assert [(n, d and round(d), b) for n, d, b in limits] == [(2, 3590, None), (3, None, 2.0)]
    (seen,) = look.workers
    assert (seen.shards, seen.idle_seconds, round(seen.silent_seconds)) == (1, 0, 10)


def _in(now: float, seconds: float) -> datetime:
    return datetime.fromtimestamp(now + seconds, UTC)


def test_usage_shows_the_time_of_a_rental_by_job(api: ApiFixture, desk: Desk) -> None:
    farm, told = api.farm, desk.intended()
    worker = farm.worker(joined(api, told.token, "left")["worker_id"])
    farm.heartbeat(worker)
    job = farm.submit(briefs(3)).job_id
    first, *rest = farm.track_ids(job)
    began = farm.clock()
    done = farm.lease(worker, job, [first])
    farm.clock.advance(10)
    farm.finish(worker, done)
    late = farm.lease(worker, job, rest)
    farm.clock.advance(5)
    farm.heartbeat(worker, late)
    farm.clock.advance(5)
    desk.moved(told.rental, state=S.ENDED, ended_at=farm.clock())
    (stay,) = [RentalUsage.model_validate(s) for s in desk.ask("GET", "usage?ended_since=0").json()]
    assert stay.tracks == {job: 1}
    (busy,) = stay.busy
    found = [(s.start - began, s.end - began, s.kept, s.job) for s in busy]
    assert found == [(8, 10, True, job), (10, 20, False, job)]


def test_usage_is_listed_in_pages(api: ApiFixture, desk: Desk) -> None:
    desk.hold()
    tags = {f"tf-hotel-{number:016d}" for number in range(2 * USAGE_PAGE + 1)}
    for number, tag in enumerate(sorted(tags)):
        desk.intend(tag=tag, intended_at=1000 - number // 2)
    with FleetClient(api.url, API_KEY) as client:
        told = [stay.rental.tag for stay in client.usage(ended_since=0)]
        assert told == [rental.tag for rental in client.rentals(ended_since=0)]
    assert set(told) == tags
    (third,) = desk.ask("GET", f"usage?ended_since=0&limit=1&behind={told[1]}").json()
    assert third["rental"]["plan"]["tag"] == told[2]
    problem(desk.ask("GET", "usage?behind=tf-nowhere"), 404)


@pytest.mark.parametrize("path", ["rentals", "usage"])
def test_rentals_are_not_shown_to_readers(api: ApiFixture, desk: Desk, path: str) -> None:
    desk.hold()
    desk.intend(purpose="job_of_another")
    assert "job_of_another" in desk.ask("GET", path).text
    reader = create_key(api, "reader", Scope.READ).secret
    assert "operate" in problem(api.get(f"fleet/{path}", key=reader), 403)["detail"]


def test_out_of_budget_ends_a_job(api: ApiFixture, desk: Desk) -> None:
    job = api.farm.submit(briefs(2), budget=1.0).job_id
    ended = desk.ask("POST", f"jobs/{job}/out-of-budget").json()
    assert ended["state"] == "out_of_budget"
    problem(desk.ask("POST", f"jobs/{job}/out-of-budget"), 409)
    problem(desk.ask("POST", "jobs/job_nobody/out-of-budget"), 404)


UNKNOWN: dict[str, Callable[[Desk], httpx.Response]] = {
    "drain": lambda desk: desk.ask("POST", "rentals/tf-nobody/drain"),
    "release": lambda desk: desk.ask("POST", "rentals/tf-nobody/release", {}),
    "move": lambda desk: desk.move(
        desk.intended().rental.model_copy(update={"plan": RentalPlan(**desk.plan(tag="tf-nobody"))})
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_rental_is_not_found(desk: Desk, what: str) -> None:
    assert "fleet status" in problem(UNKNOWN[what](desk), 404)["detail"]


def test_release_request_is_kept_for_the_leader(desk: Desk) -> None:
    rental = desk.intended().rental
    desk.ask("POST", f"rentals/{TAG}/release", {"reason": "too loud"})
    desk.ask("POST", f"rentals/{TAG}/release", {"reason": "again"})
    assert desk.moved(rental, state=S.CREATED, provider_id="7").release_reason == "too loud"
    assert RentalStatus(since=1, price_per_hour=1).state is S.INTENDED


def test_refusals_are_errors_of_the_client(api: ApiFixture) -> None:
    with FleetClient(api.url, API_KEY, retry_seconds=0) as client:
        client.acquire_lease("one", 60)
        with pytest.raises(RequestRefused) as refused:
            client.create_intent(7, RentalPlan(**Desk(api).plan()))
    assert is_stale(refused.value)
