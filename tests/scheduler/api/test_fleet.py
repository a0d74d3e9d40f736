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


class FleetCaller:
    """A fleet process from the scheduler's point of view."""

    def __init__(self, api: ApiFixture, holder: str = "one") -> None:
        self.api, self.holder = api, holder

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        url = f"{self.api.url}/api/v1/fleet/{path}"
        return self.api.http.request(method, url, json=body, headers=BEARER)

    def acquire_lease(self, seconds: float = 60) -> FleetLease:
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

    def create_intent(self, epoch: int = 1, **changes: Any) -> httpx.Response:
        return self.ask("POST", "rentals", {"epoch": epoch, "plan": self.plan(**changes)})

    def new_intent(self) -> IntentAnswer:
        self.acquire_lease()
        return IntentAnswer.model_validate(self.create_intent().json())

    def put_status(self, rental: RentalInfo, epoch: int = 1, **changes: Any) -> httpx.Response:
        status = rental.status.model_dump(mode="json") | changes
        body = {"epoch": epoch, "version": rental.version, "status": status}
        return self.ask("PUT", f"rentals/{rental.tag}", body)

    def update(self, rental: RentalInfo, **changes: Any) -> RentalInfo:
        answer = self.put_status(rental, **changes)
        assert answer.status_code == 200, answer.text
        return RentalInfo.model_validate(answer.json())

    def state(self) -> FleetState:
        return FleetState.model_validate(self.ask("GET", "state").json())


@pytest.fixture
def fleet(api: ApiFixture) -> FleetCaller:
    return FleetCaller(api)


def register(api: ApiFixture, token: str, name: str) -> dict[str, Any]:
    facts = {"name": name, "gpu": "RTX 4090", "memory_mib": 24_564, "model_set": "tiny"}
    answer = api.post_as_worker("register", token, facts | {"price_per_hour": 9, "provider": "me"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_lease_has_one_holder_until_it_expires_or_is_released(
    api: ApiFixture, fleet: FleetCaller
) -> None:
    other = FleetCaller(api, "other")
    first = fleet.acquire_lease()
    assert (first.holder, first.epoch, first.seconds) == ("one", 1, 60)
    assert other.acquire_lease() == first, "who comes second is told who leads"
    api.farm.clock.advance(61)
    taken = other.acquire_lease()
    assert (taken.holder, taken.epoch, taken.farm) == ("other", 2, first.farm)
    assert fleet.acquire_lease().holder == "other"
    assert other.ask("DELETE", "lease/other").status_code == 204
    assert fleet.acquire_lease().epoch == 3


def test_former_leader_changes_nothing(api: ApiFixture, fleet: FleetCaller) -> None:
    rental = fleet.new_intent().rental
    api.farm.clock.advance(61)
    FleetCaller(api, "other").acquire_lease()
    assert "leader" in problem(fleet.put_status(rental, reason="too late"), 409)["detail"]
    assert "leader" in problem(fleet.create_intent(tag=TAG[:-1] + "0"), 409)["detail"]
    (kept,) = fleet.state().rentals
    assert kept == rental


def test_move_refuses_an_older_version_and_accepts_a_repeated_request(
    fleet: FleetCaller,
) -> None:
    rental = fleet.new_intent().rental
    change = {"state": S.CREATED, "provider_id": "7", "created_at": 1.0}
    after = fleet.update(rental, **change)
    assert (after.version, after.status.state) == (1, S.CREATED)
    assert fleet.update(rental, **change) == after, "the answer was lost"
    assert "version 1" in problem(fleet.put_status(rental, state=S.ENDED), 409)["detail"]


@pytest.mark.parametrize(("before", "after"), [(S.CREATED, S.INTENDED), (S.ENDED, S.CREATED)])
def test_move_never_returns_to_an_earlier_state(
    fleet: FleetCaller, before: RentalState, after: RentalState
) -> None:
    rental = fleet.update(fleet.new_intent().rental, state=before, ended_at=2.0)
    assert "never becomes" in problem(fleet.put_status(rental, state=after), 409)["detail"]


def test_intent_invites_one_worker_per_gpu(api: ApiFixture, fleet: FleetCaller) -> None:
    lost, intent = fleet.new_intent(), fleet.new_intent()
    problem(api.post_as_worker("register", lost.token, {"name": "x"}), 422)
    facts = {"name": "x", "gpu": "x", "memory_mib": 24_564, "model_set": "tiny"}
    problem(api.post_as_worker("register", lost.token, facts), 401)
    workers = [register(api, intent.token, name) for name in ("left", "right")]
    problem(api.post_as_worker("register", intent.token, facts), 401)
    ids = [worker["worker_id"] for worker in workers]
    row = api.farm.worker(ids[0])
    assert (row.provider, row.rental_tag, row.price_per_hour) == ("vast", TAG, 0.4)
    assert {worker.id for worker in fleet.state().workers} == set(ids)
    assert intent.token not in api.get("events").text
    problem(fleet.create_intent(vram=48), 409)


def test_ending_a_rental_ends_its_workers(api: ApiFixture, fleet: FleetCaller) -> None:
    intent = fleet.new_intent()
    worker = register(api, intent.token, "left")
    assert api.post_as_worker("heartbeat", worker["token"]).status_code == 200
    fleet.update(intent.rental, state=S.ENDED, ended_at=5.0)
    problem(api.post_as_worker("heartbeat", worker["token"]), 401)
    facts = {"name": "x", "gpu": "x", "memory_mib": 24_564, "model_set": "tiny"}
    problem(api.post_as_worker("register", intent.token, facts), 401)
    problem(api.post_as_worker("register", worker["token"], facts), 401)


def test_draining_a_rental_lets_its_worker_finish_and_leave(
    api: ApiFixture, fleet: FleetCaller
) -> None:
    intent, farm = fleet.new_intent(), api.farm
    credentials = register(api, intent.token, "left")
    job = farm.submit(briefs(2)).job_id
    api.post_as_worker("heartbeat", credentials["token"])
    worker = farm.worker(credentials["worker_id"])
    offer = farm.lease(worker, job)
    assert fleet.ask("POST", f"rentals/{TAG}/drain").json()[0]["state"] == "draining"
    progress = {"shard_id": offer.shard_id, "lease_id": offer.lease_id, "stage": "computing"}
    busy = api.post_as_worker("heartbeat", credentials["token"], {"shards": [progress]}).json()
    assert (list(busy["leases"]), busy["commands"]) == ([offer.lease_id], [])
    farm.finish(worker, offer)
    (command,) = api.post_as_worker("heartbeat", credentials["token"]).json()["commands"]
    assert command["kind"] == "drain"
    api.post_as_worker("heartbeat", credentials["token"], {"draining": True})
    assert api.post_as_worker("leave", credentials["token"]).status_code == 200
    assert farm.states(job) == {"done": 2}
    assert fleet.state().workers[0].state == "gone"


def test_state_has_demand_deadlines_and_budgets(api: ApiFixture, fleet: FleetCaller) -> None:
    farm, intent = api.farm, fleet.new_intent()
    worker = farm.worker(register(api, intent.token, "left")["worker_id"])
    farm.heartbeat(worker)
    now = farm.clock()
    whole = farm.submit(briefs(3), budget=2.0)
    farm.submit(briefs(2, word="flute", duration=60.4), catalog="lobby", deadline=_in(now, 3600))
    farm.lease(worker, whole.job_id, farm.track_ids(whole.job_id)[:1])
    farm.clock.advance(10)
    look = fleet.state()
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


def test_usage_shows_the_time_of_a_rental_by_job(api: ApiFixture, fleet: FleetCaller) -> None:
    farm, intent = api.farm, fleet.new_intent()
    worker = farm.worker(register(api, intent.token, "left")["worker_id"])
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
    fleet.update(intent.rental, state=S.ENDED, ended_at=farm.clock())
    (stay,) = [
        RentalUsage.model_validate(s) for s in fleet.ask("GET", "usage?ended_since=0").json()
    ]
    assert stay.tracks == {job: 1}
    (busy,) = stay.busy
    intervals = [(s.start - began, s.end - began, s.kept, s.job) for s in busy]
    assert intervals == [(8, 10, True, job), (10, 20, False, job)]


def test_usage_is_listed_in_pages(api: ApiFixture, fleet: FleetCaller) -> None:
    fleet.acquire_lease()
    tags = {f"tf-hotel-{number:016d}" for number in range(2 * USAGE_PAGE + 1)}
    for number, tag in enumerate(sorted(tags)):
        fleet.create_intent(tag=tag, intended_at=1000 - number // 2)
    with FleetClient(api.url, API_KEY) as client:
        tags_in_order = [stay.rental.tag for stay in client.usage(ended_since=0)]
        assert tags_in_order == [rental.tag for rental in client.rentals(ended_since=0)]
    assert set(tags_in_order) == tags
    (third,) = fleet.ask("GET", f"usage?ended_since=0&limit=1&behind={tags_in_order[1]}").json()
    assert third["rental"]["plan"]["tag"] == tags_in_order[2]
    problem(fleet.ask("GET", "usage?behind=tf-nowhere"), 404)


@pytest.mark.parametrize("path", ["rentals", "usage"])
def test_rentals_are_not_shown_to_readers(api: ApiFixture, fleet: FleetCaller, path: str) -> None:
    fleet.acquire_lease()
    fleet.create_intent(purpose="job_of_another")
    assert "job_of_another" in fleet.ask("GET", path).text
    reader = create_key(api, "reader", Scope.READ).secret
    assert "operate" in problem(api.get(f"fleet/{path}", key=reader), 403)["detail"]


def test_out_of_budget_ends_a_job(api: ApiFixture, fleet: FleetCaller) -> None:
    job = api.farm.submit(briefs(2), budget=1.0).job_id
    ended = fleet.ask("POST", f"jobs/{job}/out-of-budget").json()
    assert ended["state"] == "out_of_budget"
    problem(fleet.ask("POST", f"jobs/{job}/out-of-budget"), 409)
    problem(fleet.ask("POST", "jobs/job_nobody/out-of-budget"), 404)


UNKNOWN: dict[str, Callable[[FleetCaller], httpx.Response]] = {
    "drain": lambda fleet: fleet.ask("POST", "rentals/tf-nobody/drain"),
    "release": lambda fleet: fleet.ask("POST", "rentals/tf-nobody/release", {}),
    "move": lambda fleet: fleet.put_status(
        fleet.new_intent().rental.model_copy(
            update={"plan": RentalPlan(**fleet.plan(tag="tf-nobody"))}
        )
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_rental_is_not_found(fleet: FleetCaller, what: str) -> None:
    assert "fleet status" in problem(UNKNOWN[what](fleet), 404)["detail"]


def test_release_request_is_kept_for_the_leader(fleet: FleetCaller) -> None:
    rental = fleet.new_intent().rental
    fleet.ask("POST", f"rentals/{TAG}/release", {"reason": "too loud"})
    fleet.ask("POST", f"rentals/{TAG}/release", {"reason": "again"})
    assert fleet.update(rental, state=S.CREATED, provider_id="7").release_reason == "too loud"
    assert RentalStatus(since=1, price_per_hour=1).state is S.INTENDED


def test_refusals_are_errors_of_the_client(api: ApiFixture) -> None:
    with FleetClient(api.url, API_KEY, retry_seconds=0) as client:
        client.acquire_lease("one", 60)
        with pytest.raises(RequestRefused) as refused:
            client.create_intent(7, RentalPlan(**FleetCaller(api).plan()))
    assert is_stale(refused.value)
