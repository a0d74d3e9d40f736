"""Workers, live leases and open rentals as metrics see them."""

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.fleet import RentalMove, RentalPlan, RentalState, RentalStatus
from trackfarm_scheduler.db import farm_metrics, rentals, workers
from trackfarm_scheduler.db.farm_metrics import LeaseGroup, OpenRental


def names(farm: FarmFixture, lost_since: float) -> list[str]:
    with farm.database.read() as session:
        return [w.name for w in farm_metrics.list_workers(session, lost_since=lost_since)]


def test_list_workers_omits_departed_and_long_lost_ones(farm: FarmFixture) -> None:
    farm.join("lost")
    farm.clock.advance(20)
    gone, present = farm.join("gone"), farm.join("present", gpu="RTX 4090", price_per_hour=0.5)
    with farm.database.write() as session:
        workers.mark_silent_lost(session, silent_since=farm.clock() - 10, now=farm.clock())
        workers.leave(session, gone.id, farm.clock(), reason="test")
    assert names(farm, farm.clock() - 60) == ["lost", "present"]
    assert names(farm, farm.clock() - 10) == ["present"]
    with farm.database.read() as session:
        (sample,) = farm_metrics.list_workers(session, lost_since=farm.clock())
    assert (sample.id, sample.gpu, sample.price_per_hour) == (present.id, "RTX 4090", 0.5)
    assert (sample.queue, sample.last_seen) == (present.queue, present.last_seen)


def test_count_live_leases_by_claim(farm: FarmFixture) -> None:
    worker, job_id = farm.join(), farm.submit(briefs(3)).job_id
    one, two, three = farm.ids(job_id)
    offered_at = farm.clock()
    farm.claimed(worker, job_id, [one])
    farm.offer(worker, job_id, [two])
    farm.clock.advance(5)
    farm.offer(worker, job_id, [three])
    with farm.database.read() as session:
        groups = farm_metrics.count_live_leases(session)
    assert sorted(groups, key=lambda group: group.state) == [
        LeaseGroup("tiny", worker.tier, "claimed", 1, offered_at),
        LeaseGroup("tiny", worker.tier, "offered", 2, offered_at),
    ]


def test_list_open_rentals_omits_ended_ones(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        for tag in ("tf-abc-000000000001", "tf-abc-000000000002"):
            plan = RentalPlan(
                tag=tag,
                provider="vast",
                gpu="RTX 4090",
                gpus=1,
                vram=24,
                model_set="tiny",
                price_per_hour=0.4,
                intended_at=farm.clock(),
            )
            rentals.create_intent(session, plan, farm.clock(), made_by="operator")
        ended = RentalStatus(
            state=RentalState.ENDED, since=1, price_per_hour=0.4, ended_at=farm.clock()
        )
        move = RentalMove(epoch=0, version=0, status=ended)
        rentals.move(session, "tf-abc-000000000001", move, farm.clock())
    with farm.database.read() as session:
        assert farm_metrics.list_open_rentals(session) == [
            OpenRental("vast", "intended", "tf-abc-000000000002", 0.4, farm.clock())
        ]
