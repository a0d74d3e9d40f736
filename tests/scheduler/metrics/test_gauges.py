"""State of the farm at a scrape: workers, leases, rentals, headroom."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.metrics.exposed import collector, scraped, value
from trackfarm_scheduler.db import workers
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


def test_gauges_show_a_lost_worker_for_a_while_and_none_that_left(farm: FarmFixture) -> None:
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


def test_gauges_tell_offers_from_claims(farm: FarmFixture) -> None:
    worker, job = farm.join(), farm.submit(briefs(3)).job_id
    one, two, three = farm.track_ids(job)
    farm.lease(worker, job, [one])
    farm.clock.advance(5)
    offered_at = farm.clock()
    farm.offer(worker, job, [two])
    farm.clock.advance(5)
    farm.offer(worker, job, [three])
    samples = scraped(collector(farm))
    assert value(samples, "leases_live", state="claimed", **KIND) == 1
    assert value(samples, "leases_live", state="offered", **KIND) == 2
    assert value(samples, "oldest_offer_timestamp_seconds", **KIND) == offered_at


def test_gauges_count_rentals_without_a_worker_after_their_boot_time(
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


def test_gauges_have_the_age_of_waiting_tracks(farm: FarmFixture) -> None:
    began = farm.clock()
    first = farm.submit(briefs(2), catalog="first").job_id
    farm.clock.advance(100)
    farm.submit(briefs(3, word="harp"), catalog="second")
    farm.lease(farm.join(), first, farm.track_ids(first)[:1])
    samples = scraped(collector(farm))
    assert value(samples, "tracks_waiting", model_set="tiny") == 4
    assert value(samples, "tracks_present", state="leased") == 1
    oldest = value(samples, "oldest_waiting_timestamp_seconds", model_set="tiny")
    assert oldest == pytest.approx(began, abs=1)
