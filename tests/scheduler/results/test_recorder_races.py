"""Speculative copies in the database: the first commit wins, the other lease ends, no track is
lost."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import URL_SECONDS, FarmFixture, briefs, failure
from trackfarm.protocol.worker import FailureKind, ReleaseReason, ReportVerdict
from trackfarm_scheduler.db import jobs, leases
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import ArtifactRow, LeaseRow, ShardRow, WorkerRow
from trackfarm_scheduler.policy.states import AttemptState

TRACKS = 4


class Race:
    """A straggler and a rival that both hold the same tracks."""

    def __init__(self, farm: FarmFixture, number: int = TRACKS) -> None:
        self.farm = farm
        self.job_id = farm.submit(briefs(number)).job_id
        self.ids = farm.track_ids(self.job_id)
        self.slow, self.fast = farm.join("slow"), farm.join("fast")
        self.first = farm.lease(self.slow, self.job_id)
        self.second = farm.lease(self.fast, self.job_id, race=True)
        self.lanes = [(self.slow, self.first), (self.fast, self.second)]

    def end(self, offer: ShardOffer) -> int:
        with self.farm.database.write() as session:
            lease = leases.get(session, offer.lease_id, lock=True)
            assert lease is not None
            now, left_open = self.farm.clock(), AttemptState.EXPIRED
            return leases.end(session, lease, now, reason="expired", left_open=left_open)

    def release(self, offer: ShardOffer) -> int:
        with self.farm.database.write() as session:
            lease = leases.get(session, offer.lease_id, lock=True)
            assert lease is not None
            reason, now = ReleaseReason.DRAINING, self.farm.clock()
            return leases.release(session, lease, self.ids, reason, now)

    def fail(self, who: WorkerRow, offer: ShardOffer, *ids: int, kind: FailureKind) -> None:
        failed = [failure(i, kind) for i in ids]
        verdicts = self.farm.report(who, offer, failed=failed)
        assert {v.verdict for v in verdicts} == {ReportVerdict.NOTED}

    def is_live(self, offer: ShardOffer) -> bool:
        return self.farm.rows(LeaseRow, col(LeaseRow.id) == offer.lease_id)[0].state == "live"


@pytest.fixture
def race(farm: FarmFixture) -> Race:
    return Race(farm)


def test_copy_is_a_second_lease_on_leased_tracks(race: Race) -> None:
    farm = race.farm
    assert farm.states(race.job_id) == {"leased": TRACKS}
    assert {s.is_speculative for s in farm.rows(ShardRow)} == {False, True}
    for track_id in race.ids:
        one, two = (farm.attempt(o, track_id) for o in (race.first, race.second))
        assert (one.seed, one.try_number) == (two.seed, two.try_number), "the same track"
        assert one.object_key != two.object_key


def test_copy_needs_a_leased_track(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    assert farm.try_offer(farm.join(), job_id, farm.track_ids(job_id), race=True) is None
    assert farm.count(LeaseRow) == 0


def test_copy_that_commits_first_ends_the_other_lease(race: Race) -> None:
    farm = race.farm
    late = [farm.upload(race.first, i) for i in race.ids]
    assert {v.verdict for v in farm.finish(race.fast, race.second)} == {ReportVerdict.COMMITTED}
    assert not race.is_live(race.first), "no work is left under it"
    assert {(a.state, a.kind) for a in farm.attempts(race.first)} == {("cancelled", "overtaken")}
    assert farm.heartbeat(race.slow, race.first) == set(), (
        "so its heartbeat is answered with a stop"
    )
    assert {v.verdict for v in farm.report(race.slow, race.first, done=late)} == {
        ReportVerdict.ALREADY_DONE
    }
    assert {a.lease_id for a in farm.rows(ArtifactRow)} == {race.second.lease_id}
    assert farm.worker(race.slow.id).tracks_done == 0


def test_copy_that_loses_keeps_its_other_tracks(race: Race) -> None:
    """The copy has won two of four tracks: the lease stays live for the rest."""
    farm = race.farm
    half = race.ids[2:]
    farm.report(race.fast, race.second, done=[farm.upload(race.second, i) for i in half])
    assert race.is_live(race.first)
    assert [a.state for a in farm.attempts(race.first)] == ["open"] * 2 + ["cancelled"] * 2
    assert {v.verdict for v in farm.finish(race.slow, race.first)} == {ReportVerdict.COMMITTED}
    assert not race.is_live(race.second)
    assert farm.states(race.job_id) == {"done": TRACKS}


def test_copy_that_loses_has_its_object_removed(race: Race) -> None:
    farm = race.farm
    lost = {farm.upload(race.first, i).object_key for i in race.ids}
    farm.finish(race.fast, race.second)
    orphan_cleaner = farm.orphan_cleaner(margin=60)
    assert lost <= set(farm.objects.content)
    farm.clock.advance(URL_SECONDS + 61)
    orphan_cleaner.tick()
    assert set(farm.objects.content) == {a.object_key for a in farm.rows(ArtifactRow)}


@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("how", ["end", "release"])
def test_copied_track_is_pending_only_when_both_leases_ended(
    race: Race, lane: int, how: str
) -> None:
    act = race.end if how == "end" else race.release
    ended_offer, other = race.lanes[lane][1], race.lanes[1 - lane]
    assert act(ended_offer) == 0, "no track becomes pending"
    assert race.farm.states(race.job_id) == {"leased": TRACKS}
    assert race.is_live(other[1])
    assert act(other[1]) == TRACKS
    assert race.farm.states(race.job_id) == {"pending": TRACKS}


@pytest.mark.parametrize(
    "kind", [FailureKind.SILENT, FailureKind.UPLOAD_FAILED, FailureKind.BAD_INPUT]
)
def test_copied_track_survives_a_failure_under_one_lease(race: Race, kind: FailureKind) -> None:
    """Not even a final failure: the other lease may still make the track."""
    farm, track_id = race.farm, race.ids[0]
    race.fail(race.fast, race.second, track_id, kind=kind)
    assert farm.track(track_id).state == "leased"
    assert farm.events("track_failed") == []
    done = farm.upload(race.first, track_id)
    assert farm.report(race.slow, race.first, done=[done])[0].verdict is ReportVerdict.COMMITTED
    assert farm.track(track_id).error == ""


def test_copied_track_counts_failures_under_both_leases(race: Race) -> None:
    farm, (one, other, *_) = race.farm, race.ids
    for who, offer in race.lanes:
        race.fail(who, offer, one, kind=FailureKind.BAD_INPUT)
    assert farm.track(one).state == "failed"
    for who, offer in race.lanes:
        race.fail(who, offer, other, kind=FailureKind.UPLOAD_FAILED)
    assert (farm.track(other).state, farm.track(other).failures) == ("pending", 0)


def test_cancel_ends_both_leases_of_a_copied_track(race: Race) -> None:
    race.farm.change(race.job_id, jobs.cancel)
    assert not any(race.is_live(offer) for _, offer in race.lanes)
    assert race.farm.states(race.job_id) == {"cancelled": TRACKS}


def test_pause_withdraws_an_unclaimed_copy(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    running = farm.lease(farm.join(), job_id)
    waiting = farm.offer(farm.join(), job_id, race=True)
    farm.change(job_id, jobs.pause)
    live = {lease.id for lease in farm.rows(LeaseRow, col(LeaseRow.state) == "live")}
    assert (running.lease_id in live, waiting.lease_id in live) == (True, False)
    assert farm.states(job_id) == {"leased": 2}


# Both leases at the same instant: SQLite's single writer excludes this, PostgreSQL must handle it.


def at_once(*acts: object) -> None:
    start = Barrier(len(acts))

    def run(act: object) -> object:
        start.wait()
        return act()  # type: ignore[operator]

    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(run, acts))


@pytest.mark.parametrize("attempt", range(3))
def test_copied_track_is_committed_once_by_two_at_once(race: Race, attempt: int) -> None:
    farm = race.farm
    uploads = [[farm.upload(offer, i) for i in race.ids] for _, offer in race.lanes]
    at_once(
        *(
            lambda who=who, offer=offer, done=done: farm.report(who, offer, done=done)
            for (who, offer), done in zip(race.lanes, uploads, strict=True)
        )
    )
    assert farm.states(race.job_id) == {"done": TRACKS}
    assert farm.count(ArtifactRow) == TRACKS


@pytest.mark.parametrize("attempt", range(3))
def test_copied_tracks_are_finished_by_both_without_a_deadlock(race: Race, attempt: int) -> None:
    """Each commit ends work of the other's lease."""
    farm = race.farm
    parts = [race.ids[:2], race.ids[2:]]
    uploads = [
        [farm.upload(offer, i) for i in part]
        for (_, offer), part in zip(race.lanes, parts, strict=True)
    ]
    at_once(
        *(
            lambda who=who, offer=offer, done=done: farm.report(who, offer, done=done)
            for (who, offer), done in zip(race.lanes, uploads, strict=True)
        )
    )
    assert farm.states(race.job_id) == {"done": TRACKS}
    assert not any(race.is_live(offer) for _, offer in race.lanes)


@pytest.mark.parametrize("attempt", range(3))
def test_copied_track_is_released_by_both_at_once(race: Race, attempt: int) -> None:
    """Neither may assume that the other continues."""
    at_once(lambda: race.release(race.first), lambda: race.end(race.second))
    assert race.farm.states(race.job_id) == {"pending": TRACKS}


@pytest.mark.parametrize("attempt", range(3))
def test_copied_track_is_done_while_the_other_lease_is_released(race: Race, attempt: int) -> None:
    done = [race.farm.upload(race.second, i) for i in race.ids]
    at_once(
        lambda: race.farm.report(race.fast, race.second, done=done),
        lambda: race.release(race.first),
    )
    assert race.farm.states(race.job_id) == {"done": TRACKS}


@pytest.mark.parametrize("attempt", range(3))
def test_copy_is_offered_while_the_first_lease_ends(farm: FarmFixture, attempt: int) -> None:
    """Either the copy has the tracks, or they are pending; never both."""
    job_id = farm.submit(briefs(TRACKS)).job_id
    ids, rival = farm.track_ids(job_id), farm.join("rival")
    offer = farm.lease(farm.join(), job_id)

    def end() -> None:
        with farm.database.write() as session:
            lease = leases.get(session, offer.lease_id, lock=True)
            assert lease is not None
            leases.release(session, lease, ids, ReleaseReason.DRAINING, farm.clock())

    at_once(end, lambda: farm.try_offer(rival, job_id, ids, race=True))
    raced = farm.count(ShardRow, col(ShardRow.is_speculative).is_(True))
    assert farm.states(job_id) == {"leased" if raced else "pending": TRACKS}
