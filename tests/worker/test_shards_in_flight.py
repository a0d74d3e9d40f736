"""Shards in flight: stop requests and progress in heartbeats."""

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.shards import LEASE, claim
from trackfarm.protocol.worker import ReleaseReason, Stage
from trackfarm_worker.shards_in_flight import ShardRegistry


def test_track_registers_a_shard_while_it_runs() -> None:
    registry = ShardRegistry()
    with registry.track(claim(1, 2)) as shard:
        shard.stage, shard.step, shard.steps, shard.finished = Stage.COMPUTING, 3, 8, 1
        (progress,) = registry.progress()
        assert (progress.lease_id, progress.stage) == (LEASE, Stage.COMPUTING)
        assert (progress.step, progress.steps, progress.finished) == (3, 8, 1)
    assert registry.progress() == []


def test_track_removes_a_shard_after_an_error() -> None:
    registry = ShardRegistry()
    try:
        with registry.track(claim(1)):
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert registry.progress() == []


def test_stop_returns_the_tracks_for_the_engine() -> None:
    registry = ShardRegistry()
    with (
        registry.track(claim(1, 2)) as shard,
        registry.track(claim(3, lease="lease_0002")) as other,
    ):
        assert registry.stop(LEASE, ReleaseReason.STOPPED, lease_lost=False) == {1, 2}
        assert (shard.stop_reason, shard.lease_lost) == (ReleaseReason.STOPPED, False)
        assert other.stop_reason is None
    assert registry.stop(LEASE, ReleaseReason.STOPPED, lease_lost=True) == frozenset()


def test_drain_marks_running_and_later_shards() -> None:
    registry = ShardRegistry()
    with registry.track(claim(1)) as shard:
        registry.drain()
        assert shard.stop_reason is ReleaseReason.DRAINING
        assert not shard.lease_lost
        with registry.track(claim(2, lease="lease_0002")) as late:
            assert late.stop_reason is ReleaseReason.DRAINING
    assert registry.is_draining


actions = st.lists(
    st.sampled_from(["stop", "kill", "drain", "disk"]),
    min_size=1,
    max_size=8,
)


@given(actions)
def test_stop_keeps_the_first_reason_and_a_lost_lease(acts: list[str]) -> None:
    registry = ShardRegistry()
    reasons = {
        "stop": ReleaseReason.STOPPED,
        "kill": ReleaseReason.STOPPED,
        "drain": ReleaseReason.DRAINING,
        "disk": ReleaseReason.DISK_FULL,
    }
    with registry.track(claim(1)) as shard:
        for act in acts:
            if act == "drain":
                registry.drain()
            else:
                registry.stop(LEASE, reasons[act], lease_lost=act == "kill")
        assert shard.stop_reason is reasons[acts[0]]
        assert shard.lease_lost == ("kill" in acts)
        assert registry.is_draining == ("drain" in acts)
