"""Webhooks by the API: permissions, allowed URLs and deliveries."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.scheduler.api_fixture import (
    API_KEY,
    ApiFixture,
    Switch,
    bearer,
    build,
    create_key,
    problem,
)
from tests.scheduler.farm_fixture import briefs
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
def test_webhook_refuses_private_and_unsafe_urls(api: ApiFixture, url: str, words: str) -> None:
    body = problem(asked(api, url), 422)
    assert words in body["detail"]
    assert body["errors"][0]["field"] == "body.url"


def test_webhook_is_created_shown_and_removed_by_its_owner(opened: ApiFixture) -> None:
    shop, stranger = create_key(opened, "shop").secret, create_key(opened, "stranger").secret
    new = hooked(opened, key=shop, events=["job.ended"])
    assert new.secret == derive_secret(b"s" * 32, new.webhook.id)
    shown = opened.get("webhooks", key=shop)
    assert [hook["id"] for hook in shown.json()] == [new.webhook.id]
    assert new.secret not in shown.text
    assert opened.get("webhooks", key=stranger).json() == []
    for path in (f"webhooks/{new.webhook.id}", f"webhooks/{new.webhook.id}/deliveries"):
        problem(opened.get(path, key=stranger), 404)
    problem(removed(opened, new.webhook.id, key=stranger), 404)
    problem(asked(opened, key=create_key(opened, "reader", "read").secret), 403)
    assert removed(opened, new.webhook.id, key=shop).json()["events"] == ["job.ended"]
    problem(opened.get(f"webhooks/{new.webhook.id}", key=shop), 404)


def test_webhooks_of_an_owner_are_limited(opened: ApiFixture) -> None:
    for _ in range(MAX_WEBHOOKS):
        hooked(opened)
    assert str(MAX_WEBHOOKS) in problem(asked(opened), 409)["detail"]


def test_deliveries_are_listed_newest_first_in_pages(opened: ApiFixture) -> None:
    hook = hooked(opened).webhook
    job_id = opened.farm.submit(briefs(3)).job_id
    worker = opened.farm.join()
    opened.farm.finish(worker, opened.farm.lease(worker, job_id))
    opened.farm.complete(job_id)
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
    assert opened.farm.count(DeliveryRow) == 0
