"""State of the farm at a scrape: workers, leases, rentals, headroom."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.metrics.exposed import collector, scraped, value
from trackfarm_scheduler.db import workers
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.db.tables_fleet import RentalRow
from trackfarm_scheduler.metrics.gauges import BOOT_SECONDS, LOST_SHOWN_SECONDS

KIND = {"model_set": "tiny", "tier": "vram24"}


def lose(farm: FarmFixture) -> None:
    """Let time pass without heartbeats, until all workers are lost."""
    farm.clock.advance(20)
    with farm.database.write() as session:
        workers.mark_silent_lost(session, silent_since=farm.clock() - 15, now=farm.clock())


def rental(farm: FarmFixture, tag: str) -> None:
    with farm.database.write() as session:
        session.add(
            RentalRow(
                id=tag,
                tag=tag,
                provider="vast",
                state="booting",
                gpu="RTX 4090",
                price_per_hour=0.5,
                intended_at=farm.clock(),
                since=farm.clock(),
            )
        )


def test_workers_tell_who_they_are_and_what_their_cards_do(farm: FarmFixture) -> None:
    worker = farm.join("left", gpu="GeForce RTX 4090", provider="vast", price_per_hour=0.5)
    farm.beat(worker)
    farm.beat(worker, gpu_memory_mib=1024, gpu_utilisation=0.75)
    samples = scraped(collector(farm))
    assert value(samples, "workers", state="ready", gpu="RTX 4090", provider="vast", **KIND) == 1
    mine = {"worker": worker.id}
    assert value(samples, "worker_info", name="left", gpu="GeForce RTX 4090", **mine) == 1
    assert value(samples, "worker_last_heartbeat_timestamp_seconds", **mine) == farm.clock()
    assert value(samples, "worker_gpu_memory_used_bytes", **mine) == 1024**3
    assert value(samples, "worker_gpu_memory_bytes", **mine) == 24_564 * 1024**2
    assert value(samples, "worker_gpu_utilization_ratio", **mine) == 0.75
    assert value(samples, "workers_price_dollars_per_hour", provider="vast") == 0.5


def test_a_lost_worker_is_shown_for_a_while_and_one_that_left_is_not(farm: FarmFixture) -> None:
    lost, left = farm.join("lost"), farm.join("left")
    with farm.database.write() as session:
        workers.leave(session, left.id, farm.clock(), reason="drained")
    lose(farm)
    seen = "worker_last_heartbeat_timestamp_seconds"
    samples = scraped(collector(farm))
    assert value(samples, "workers_lost_total") == 1
    assert value(samples, "workers", state="lost") == 1
    assert value(samples, seen, worker=lost.id) == lost.last_seen
    assert value(samples, seen, worker=left.id) is None
    farm.clock.advance(LOST_SHOWN_SECONDS)
    later = scraped(collector(farm))
    assert value(later, seen, worker=lost.id) is None
    assert value(later, "workers", state="lost") is None
    assert value(later, "workers_lost_total") == 1


def test_offers_wait_and_claims_do_not(farm: FarmFixture) -> None:
    worker, job = farm.join(), farm.submit(briefs(3)).job_id
    one, two, three = farm.ids(job)
    farm.claimed(worker, job, [one])
    farm.clock.advance(5)
    offered_at = farm.clock()
    farm.offer(worker, job, [two])
    farm.clock.advance(5)
    farm.offer(worker, job, [three])
    samples = scraped(collector(farm))
    assert value(samples, "leases_live", state="claimed", **KIND) == 1
    assert value(samples, "leases_live", state="offered", **KIND) == 2
    assert value(samples, "oldest_offer_timestamp_seconds", **KIND) == offered_at


def test_a_rental_without_a_worker_is_an_orphan_once_it_had_time_to_boot(
    farm: FarmFixture,
) -> None:
    rental(farm, "with")
    rental(farm, "without")
    farm.join("machine", provider="vast", rental_tag="with")
    samples = scraped(collector(farm))
    assert value(samples, "rentals", provider="vast", state="booting") == 2
    assert value(samples, "rentals_price_dollars_per_hour", provider="vast") == 1.0
    assert value(samples, "rentals_orphaned", provider="vast") == 0
    farm.clock.advance(BOOT_SECONDS + 1)
    assert value(scraped(collector(farm)), "rentals_orphaned", provider="vast") == 1


def test_waiting_tracks_have_an_age(farm: FarmFixture) -> None:
    began = farm.clock()
    first = farm.submit(briefs(2), catalog="first").job_id
    farm.clock.advance(100)
    farm.submit(briefs(3, word="harp"), catalog="second")
    farm.claimed(farm.join(), first, farm.ids(first)[:1])
    samples = scraped(collector(farm))
    assert value(samples, "tracks_waiting", model_set="tiny") == 4
    assert value(samples, "tracks_present", state="leased") == 1
    oldest = value(samples, "oldest_waiting_timestamp_seconds", model_set="tiny")
    assert oldest == pytest.approx(began, abs=1)


def test_a_budget_has_headroom(farm: FarmFixture) -> None:
    worker = farm.join(price_per_hour=900)
    job = farm.submit(briefs(2), budget=10.0).job_id
    farm.submit(briefs(1, word="harp"), catalog="rich", budget=1000.0)
    farm.claim(worker, offer := farm.offer(worker, job, farm.ids(job)[:1]))
    farm.report(worker, offer, done=[farm.upload(offer, farm.ids(job)[0], service=37)])
    samples = scraped(collector(farm))
    assert value(samples, "job_budget_headroom_ratio", state="running") == pytest.approx(0.075)
    assert value(samples, "jobs_budget_nearly_spent", state="running") == 1
    assert value(samples, "jobs_budget_nearly_spent", state="accepted") == 0


def test_a_deadline_has_headroom(farm: FarmFixture) -> None:
    farm.beat(farm.join())
    far = farm.clock() + 100_000
    farm.submit(briefs(1), deadline=far)
    samples = scraped(collector(farm))
    headroom = value(samples, "job_deadline_headroom_seconds", state="accepted")
    assert headroom is not None
    assert 90_000 < headroom < 100_000
    assert value(samples, "jobs_deadline_at_risk", state="accepted") == 0
    farm.clock.advance(99_999.9)
    samples = scraped(collector(farm))
    assert value(samples, "jobs_deadline_at_risk", state="accepted") == 1


def test_a_deadline_that_nobody_works_for_is_at_risk(farm: FarmFixture) -> None:
    farm.submit(briefs(1), deadline=farm.clock() + 100_000)
    samples = scraped(collector(farm))
    assert value(samples, "jobs_deadline_at_risk", state="accepted") == 1
    assert not farm.rows(WorkerRow)


def test_a_name_cannot_break_the_page(farm: FarmFixture) -> None:
    name = 'a "quoted"\\ name\nof two lines'
    worker = farm.join(name)
    assert value(scraped(collector(farm)), "worker_info", worker=worker.id, name=worker.name) == 1
