"""Filters and pages of lists."""

from typing import Any

from tests.scheduler.api_fixture import API_KEY, ApiFixture, bearer, problem
from tests.scheduler.farm_fixture import briefs


def test_jobs_and_tracks_are_filtered_by_label_state_and_time(api: ApiFixture) -> None:
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


def test_workers_are_filtered_by_state_and_paged(api: ApiFixture) -> None:
    for number in range(3):
        api.farm.join(f"w{number}")
        api.farm.clock.advance(1)
    page = api.get("workers", limit=2)
    rest = api.http.get(page.links["next"]["url"], headers=bearer(API_KEY))
    assert [w["name"] for w in page.json() + rest.json()] == ["w0", "w1", "w2"]
    assert api.get("workers", state="gone").json() == []
    assert api.get("workers", model_set="acestep-v15-turbo").json() == []
