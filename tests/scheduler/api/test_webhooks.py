"""Webhooks and usage by the API: permissions, allowed URLs and listings."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.scheduler.api.test_worker_api import bearer, made
from tests.scheduler.api_fixture import API_KEY, ApiFixture, Switch, build, problem
from tests.scheduler.farm_fixture import briefs, failure
from trackfarm.protocol.webhooks import DeliveryInfo, DeliveryState, NewWebhook
from trackfarm_scheduler.api.webhooks import MAX_WEBHOOKS
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow
from trackfarm_scheduler.web import build_app
from trackfarm_scheduler.webhooks.http import derive_secret

HERE = "http://127.0.0.1:9/hook"


@pytest.fixture
def opened(api: ApiFixture, served: tuple[Switch, str]) -> ApiFixture:
    """A farm that may send webhooks to its own machine."""
    services = build(api.farm, api.url)
    wanted = {**services.settings.model_dump(), "webhook_networks": ["127.0.0.0/8"]}
    served[0].app = build_app(
        replace(services, settings=type(services.settings).model_validate(wanted))
    )
    return api


def asked(api: ApiFixture, url: str = HERE, *, key: str = API_KEY, **fields: Any) -> httpx.Response:
    headers = bearer(key)
    return api.http.post("/api/v1/webhooks", headers=headers, json={"url": url, **fields})


def hooked(api: ApiFixture, **fields: Any) -> NewWebhook:
    answer = asked(api, **fields)
    assert answer.status_code == 201, answer.text
    return NewWebhook.model_validate(answer.json())


def removed(api: ApiFixture, hook: str, *, key: str = API_KEY) -> httpx.Response:
    return api.http.delete(f"/api/v1/webhooks/{hook}", headers=bearer(key))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/x", "not a public address"),
        ("https://169.254.169.254/latest", "not a public address"),
        ("https://[::ffff:10.0.0.1]/x", "not a public address"),
        ("https://10.0.0.1:22/x", "port 22"),
        ("ftp://example.org/", "must begin with https://, got 'ftp://example.org/'"),
        ("https://user:pw@example.org/", "password"),
        ("http://93.184.215.14:8443/x", "clear text"),
        ("nonsense", "must begin with https://"),
    ],
)
def test_where_a_webhook_may_not_point(api: ApiFixture, url: str, words: str) -> None:
    body = problem(asked(api, url), 422)
    assert words in body["detail"]
    assert body["errors"][0]["field"] == "body.url"


def test_a_webhook_is_made_shown_and_removed_by_its_owner(opened: ApiFixture) -> None:
    shop, stranger = made(opened, "shop").secret, made(opened, "stranger").secret
    new = hooked(opened, key=shop, events=["job.ended"])
    assert new.secret == derive_secret(b"s" * 32, new.webhook.id)
    shown = opened.get("webhooks", key=shop)
    assert [hook["id"] for hook in shown.json()] == [new.webhook.id]
    assert new.secret not in shown.text
    assert opened.get("webhooks", key=stranger).json() == []
    for path in (f"webhooks/{new.webhook.id}", f"webhooks/{new.webhook.id}/deliveries"):
        problem(opened.get(path, key=stranger), 404)
    problem(removed(opened, new.webhook.id, key=stranger), 404)
    problem(asked(opened, key=made(opened, "reader", "read").secret), 403)
    assert removed(opened, new.webhook.id, key=shop).json()["events"] == ["job.ended"]
    problem(opened.get(f"webhooks/{new.webhook.id}", key=shop), 404)


def test_an_owner_has_so_many_webhooks(opened: ApiFixture) -> None:
    for _ in range(MAX_WEBHOOKS):
        hooked(opened)
    assert str(MAX_WEBHOOKS) in problem(asked(opened), 409)["detail"]


def test_deliveries_are_shown_page_by_page_newest_first(opened: ApiFixture) -> None:
    hook = hooked(opened).webhook
    job_id = opened.farm.submit(briefs(3)).job_id
    worker = opened.farm.join()
    opened.farm.finish(worker, opened.farm.claimed(worker, job_id))
    opened.farm.settled(job_id)
    page = opened.get(f"webhooks/{hook.id}/deliveries", limit=3)
    rest = opened.http.get(page.links["next"]["url"], headers=bearer(API_KEY))
    assert "next" not in rest.links
    found = [DeliveryInfo.model_validate(each) for each in page.json() + rest.json()]
    assert [d.event for d in found] == ["job.ended", *["track.done"] * 3]
    assert {(d.state, d.tries) for d in found} == {(DeliveryState.PENDING, 0)}
    assert opened.get(f"webhooks/{hook.id}/deliveries", state="given_up").json() == []
    again = opened.post(f"webhooks/{hook.id}/deliveries/{found[0].id}/retry")
    assert "given up" in problem(again, 409)["detail"]
    problem(opened.get(f"webhooks/{hook.id}/deliveries", cursor="nonsense"), 422)
    assert removed(opened, hook.id).status_code == 200
    assert opened.farm.number(DeliveryRow) == 0


def test_usage_is_counted_by_key_and_hour(api: ApiFixture) -> None:
    shop = made(api, "shop")
    lines = [b.model_dump_json(exclude_defaults=True) for b in briefs(3)]
    job_id = api.send(['{"catalog":"spa"}', *lines], key=shop.secret).json()["job"]["id"]
    worker = api.farm.join(price_per_hour=3.6)
    offer = api.farm.claimed(worker, job_id)
    first, second, third = api.farm.ids(job_id)
    made_now = [api.farm.upload(offer, i, service=2.0) for i in (first, second)]
    api.farm.report(worker, offer, done=made_now[:1])
    api.farm.clock.advance(3600)
    api.farm.report(worker, offer, done=made_now, failed=[failure(third, service=5.0)])
    total = {"tracks": 2, "failures": 1, "audio_seconds": 20.0, "gpu_seconds": 9.0}
    for key in (shop.secret, API_KEY):
        (used,) = api.get("usage", key=key).json()["used"]
        assert total.items() <= used.items()
        assert (used["key_id"], used["owner"]) == (shop.key.id, "shop")
        assert used["dollars"] == pytest.approx(0.009)
    hours = api.get("usage", key=shop.secret, by="hour").json()["used"]
    assert [(h["tracks"], h["failures"], h["gpu_seconds"]) for h in hours] == [
        (1, 0, 2.0),
        (1, 1, 7.0),
    ]
    assert api.get("usage", key=made(api, "other").secret).json()["used"] == []
    assert api.get("usage", until=hours[1]["since"]).json()["used"][0]["tracks"] == 1
    body = problem(
        api.get("usage", since="2030-01-01T00:00:00Z", until="2029-01-01T00:00:00Z"), 422
    )
    assert body["errors"][0]["field"] == "query.since"


def test_jobs_and_tracks_are_found_by_label_state_and_time(api: ApiFixture) -> None:
    spa = api.farm.submit(briefs(2, tags={"zone": "spa", "mood": "calm"}), catalog="a").job_id
    api.farm.clock.advance(10)
    bar = api.farm.submit(briefs(1, word="bar", tags={"zone": "bar"}), catalog="b").job_id
    api.farm.clock.advance(10)

    def found(**params: Any) -> list[str]:
        return [job["id"] for job in api.get("jobs", **params).json()]

    assert found() == [bar, spa]
    assert found(tag="zone=spa") == found(tag=["zone=spa", "mood=calm"]) == [spa]
    assert found(tag=["zone=bar", "mood=calm"]) == []
    assert found(catalog="b", state="accepted") == [bar]
    assert found(state=["done", "failed"]) == []
    page = api.get("jobs", limit=1)
    api.farm.submit(briefs(1, word="later"), catalog="later")
    rest = api.http.get(page.links["next"]["url"], headers=bearer(API_KEY))
    assert [job["id"] for job in page.json() + rest.json()] == [bar, spa], "none twice, none lost"
    tracks = api.get(f"jobs/{spa}/tracks", tag="mood=calm", state=["pending", "done"]).json()
    assert [track["ordinal"] for track in tracks["tracks"]] == [1, 2]
    assert api.get(f"jobs/{spa}/tracks", tag="mood=loud").json()["tracks"] == []
    assert "zone=lobby" in problem(api.get("jobs", tag="zone"), 422)["errors"][0]["message"]


def test_workers_are_found_by_state_and_page(api: ApiFixture) -> None:
    for number in range(3):
        api.farm.join(f"w{number}")
        api.farm.clock.advance(1)
    page = api.get("workers", limit=2)
    rest = api.http.get(page.links["next"]["url"], headers=bearer(API_KEY))
    assert [w["name"] for w in page.json() + rest.json()] == ["w0", "w1", "w2"]
    assert api.get("workers", state="gone").json() == []
    assert api.get("workers", model_set="acestep-v15-turbo").json() == []
