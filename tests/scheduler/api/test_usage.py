"""Usage by key and hour."""

import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, create_key, problem
from tests.scheduler.farm_fixture import briefs, failure


def test_usage_is_counted_by_key_and_hour(api: ApiFixture) -> None:
    shop = create_key(api, "shop")
    lines = [b.model_dump_json(exclude_defaults=True) for b in briefs(3)]
    job_id = api.send_lines(
        ['{"catalog":"spa","model_set":"tiny"}', *lines], key=shop.secret
    ).json()["job"]["id"]
    worker = api.farm.join(price_per_hour=3.6)
    offer = api.farm.lease(worker, job_id)
    first, second, third = api.farm.track_ids(job_id)
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
    assert api.get("usage", key=create_key(api, "other").secret).json()["used"] == []
    assert api.get("usage", until=hours[1]["since"]).json()["used"][0]["tracks"] == 1
    body = problem(
        api.get("usage", since="2030-01-01T00:00:00Z", until="2029-01-01T00:00:00Z"), 422
    )
    assert body["errors"][0]["field"] == "query.since"
