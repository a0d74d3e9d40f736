"""Management of workers and invitations by the operator."""

from typing import Any

import pytest

from tests.scheduler.api_fixture import API_KEY, JOIN_TOKEN, ApiFixture, problem
from tests.scheduler.farm_fixture import briefs

FACTS = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}
BEARER = {"Authorization": f"Bearer {API_KEY}"}


def invite(api: ApiFixture, **wishes: Any) -> dict[str, Any]:
    answer = api.http.post("/api/v1/workers/invitations", json=wishes, headers=BEARER)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def delete(api: ApiFixture, path: str, status: int = 200) -> dict[str, Any]:
    answer = api.http.delete(f"/api/v1/workers/{path}", headers=BEARER)
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_invitation_is_shown_without_its_token(api: ApiFixture) -> None:
    made = invite(api, uses=3, note="for the cellar", provider="vast")
    (listed,) = api.get("workers/invitations").json()
    assert listed == made["invitation"]
    assert (listed["uses_left"], listed["note"], listed["made_by"]) == (
        3,
        "for the cellar",
        "operator",
    )
    assert made["token"] not in api.get("workers/invitations").text
    assert made["token"] not in api.get("events").text


def test_invitation_gives_each_worker_its_own_token(api: ApiFixture) -> None:
    joined = api.post_as_worker("register", invite(api)["token"], FACTS).json()
    assert joined["broker_url"].startswith(f"redis://tfw_{joined['worker_id']}:")
    assert joined["broker_url"].endswith("@127.0.0.1:1/0")


def test_invitation_is_not_used_by_a_refused_registration(api: ApiFixture) -> None:
    token = invite(api)["token"]
    problem(api.post_as_worker("register", token, FACTS | {"model_set": "suno"}), 422)
    problem(api.post_as_worker("register", token, FACTS | {"memory_mib": 2_048}), 422)
    assert api.post_as_worker("register", token, FACTS).status_code == 200
    assert (
        "trackfarm workers invite"
        in problem(api.post_as_worker("register", token, FACTS), 401)["detail"]
    )


def test_invitation_is_refused_after_its_revocation(api: ApiFixture) -> None:
    made = invite(api, uses=5)
    assert api.post_as_worker("register", made["token"], FACTS).status_code == 200
    assert delete(api, f"invitations/{made['invitation']['id']}")["revoked_at"]
    problem(api.post_as_worker("register", made["token"], FACTS), 401)
    assert len(api.get("workers").json()) == 1, "who has joined stays"
    delete(api, "invitations/invitation_0000", 404)


def test_removed_worker_loses_access_and_its_tracks_are_placed_again(api: ApiFixture) -> None:
    me = api.register_worker()
    job_id = api.farm.submit(briefs(3)).job_id
    worker = api.farm.worker(me["worker_id"])
    offer = api.farm.offer(worker, job_id)
    claim = {"lease_id": offer.lease_id}
    assert (
        api.post_as_worker(f"shards/{offer.shard_id}/claim", me["token"], claim).status_code == 200
    )
    assert delete(api, me["worker_id"])["state"] == "gone"
    for path in ("heartbeat", "leave", "register", f"shards/{offer.shard_id}/claim"):
        body: dict[str, Any] = FACTS if path == "register" else claim if "claim" in path else {}
        problem(api.post_as_worker(path, me["token"], body), 401)
    assert api.get("workers").json() == []
    assert api.get(f"jobs/{job_id}").json()["tracks"]["pending"] == 3
    delete(api, "worker_0000", 404)


@pytest.mark.parametrize("key", ["", "wrong", JOIN_TOKEN])
def test_workers_are_invited_and_removed_by_operators_only(api: ApiFixture, key: str) -> None:
    bearer = {"Authorization": f"Bearer {key}"} if key else {}
    me = api.register_worker()
    for method, path in (
        ("POST", "workers/invitations"),
        ("GET", "workers/invitations"),
        ("DELETE", "workers/invitations/invitation_0000"),
        ("DELETE", f"workers/{me['worker_id']}"),
    ):
        for headers in (bearer, {"Authorization": f"Bearer {me['token']}"}):
            answer = api.http.request(method, f"/api/v1/{path}", content=b"{}", headers=headers)
            problem(answer, 401)


@pytest.mark.parametrize(
    "wishes",
    [{"uses": 0}, {"seconds": 0}, {"seconds": 1e9}, {"price_per_hour": -1}, {"surprise": 1}],
)
def test_invitation_refuses_malformed_requests(api: ApiFixture, wishes: dict[str, Any]) -> None:
    answer = api.http.post("/api/v1/workers/invitations", json=wishes, headers=BEARER)
    problem(answer, 422)


def test_draining_a_worker_leaves_the_others(api: ApiFixture) -> None:
    credentials = api.register_worker()
    api.post_as_worker("heartbeat", credentials["token"])
    assert api.post(f"workers/{credentials['worker_id']}/drain").json()["state"] == "draining"
    (command,) = api.post_as_worker("heartbeat", credentials["token"]).json()["commands"]
    assert command["kind"] == "drain"
    again = api.post(f"workers/{credentials['worker_id']}/drain")
    assert again.json()["state"] == "draining"
    problem(api.post("workers/worker_nobody/drain"), 404)


def test_worker_that_cannot_drain_is_not_said_to(api: ApiFixture) -> None:
    joining = api.register_worker()["worker_id"]
    answer = api.post(f"workers/{joining}/drain")
    assert problem(answer, 409)["detail"].startswith(f"{joining} is joining and cannot drain")
    assert api.farm.worker(joining).state == "joining"
