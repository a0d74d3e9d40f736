"""Events to show: pages with filters, and batches with the jobs and owners they concern."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.db import event_feed, events
from trackfarm_scheduler.db.event_feed import EventBatch
from trackfarm_scheduler.db.events import JournalEvent

KINDS = frozenset({"track_done", "job_accepted"})
MANY = 1000


@pytest.fixture
def pair(farm: FarmFixture) -> tuple[str, str]:
    """Two jobs of different owners, each of one track, which is done; the events are theirs."""
    worker, ids = farm.join(), []
    for owner in ("ann", "bob"):
        job_id = farm.submit(briefs(1, word=owner), owner=owner).job_id
        farm.finish(worker, farm.lease(worker, job_id))
        ids.append(job_id)
    return ids[0], ids[1]


def kinds(farm: FarmFixture, **filters: object) -> list[str]:
    values = {"job": None, "after": 0, "limit": MANY} | filters
    with farm.database.read() as session:
        return [event.kind for event in event_feed.list_page(session, **values)]  # type: ignore[arg-type]


def test_list_page_filters_by_owner_job_and_kind(farm: FarmFixture, pair: tuple[str, str]) -> None:
    ann, bob = pair
    everything = kinds(farm)
    assert everything.count("track_done") == 2
    assert kinds(farm, job=ann) == kinds(farm, owner="ann")
    assert kinds(farm, job=bob, owner="ann") == []
    assert kinds(farm, kinds=["track_done"], owner="bob") == ["track_done"]
    assert kinds(farm, owner="stranger") == []


def test_list_page_goes_on_after_an_id(farm: FarmFixture, pair: tuple[str, str]) -> None:
    with farm.database.read() as session:
        first = event_feed.list_page(session, job=None, after=0, limit=3)
        rest = event_feed.list_page(session, job=None, after=first[-1].id, limit=MANY)
        assert event_feed.get_last_id(session) == rest[-1].id
    assert [e.kind for e in [*first, *rest]] == kinds(farm)


def test_list_page_filters_by_time(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        events.record(session, *[JournalEvent(float(n), f"probe_{n}") for n in range(4)])
    assert kinds(farm, between=(1.0, 3.0)) == ["probe_1", "probe_2"]


def test_get_last_id_is_zero_before_the_first_event(sqlite_farm: FarmFixture) -> None:
    with sqlite_farm.database.read() as session:
        assert event_feed.get_last_id(session) == 0


def test_list_after_returns_every_kind_and_links_the_relevant_ones(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    with farm.database.read() as session:
        batch = event_feed.list_after(session, KINDS, after=0, limit=MANY)
    assert [row.kind for row in batch.rows] == kinds(farm)
    assert batch.owners == {ann: "ann", bob: "bob"}
    assert {track: [link.job_id for link in links] for track, links in batch.links.items()} == {
        farm.track_ids(ann)[0]: [ann],
        farm.track_ids(bob)[0]: [bob],
    }


def between(farm: FarmFixture, job: str | None, owner: str | None) -> EventBatch:
    with farm.database.read() as session:
        last = event_feed.get_last_id(session)
        return event_feed.list_between(
            session, KINDS, after=0, until=last, limit=MANY, job=job, owner=owner
        )


def test_list_between_includes_the_shared_tracks_of_a_job(farm: FarmFixture) -> None:
    maker = farm.submit(briefs(2)).job_id
    sharer = farm.submit(briefs(1)).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, maker))
    shared = between(farm, sharer, None)
    assert [(row.kind, row.job_id) for row in shared.rows] == [
        ("job_accepted", sharer),
        ("track_done", maker),
    ]
    (links,) = shared.links.values()
    assert {link.job_id for link in links} == {maker, sharer}


def test_list_between_filters_by_owner_and_end(farm: FarmFixture, pair: tuple[str, str]) -> None:
    ann, _ = pair
    own = between(farm, None, "ann")
    assert [(row.kind, row.job_id) for row in own.rows] == [
        ("job_accepted", ann),
        ("track_done", ann),
    ]
    assert len(between(farm, None, None).rows) == 4
    with farm.database.read() as session:
        until = own.rows[0].id or 0
        batch = event_feed.list_between(
            session, KINDS, after=0, until=until, limit=MANY, job=None, owner=None
        )
    assert [row.id for row in batch.rows] == [until]
