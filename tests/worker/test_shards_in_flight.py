"""Shards in flight: stop requests and progress in heartbeats."""

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.shards import LEASE, claim
from trackfarm.protocol.worker import ReleaseReason, Stage
from trackfarm_worker.shards_in_flight import ShardRegistry


def test_a_shard_is_on_the_board_while_it_runs() -> None:
    board = ShardRegistry()
    with board.entered(claim(1, 2)) as shard:
        shard.stage, shard.step, shard.steps, shard.finished = Stage.COMPUTING, 3, 8, 1
        (progress,) = board.progress()
        assert (progress.lease_id, progress.stage) == (LEASE, Stage.COMPUTING)
        assert (progress.step, progress.steps, progress.finished) == (3, 8, 1)
    assert board.progress() == []


def test_a_shard_leaves_the_board_also_when_it_breaks() -> None:
    board = ShardRegistry()
    try:
        with board.entered(claim(1)):
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert board.progress() == []


def test_stopping_names_the_tracks_for_the_engine() -> None:
    board = ShardRegistry()
    with board.entered(claim(1, 2)) as shard, board.entered(claim(3, lease="lease_0002")) as other:
        assert board.stop(LEASE, ReleaseReason.STOPPED, is_dead=False) == {1, 2}
        assert (shard.stop_reason, shard.is_dead) == (ReleaseReason.STOPPED, False)
        assert other.stop_reason is None
    assert board.stop(LEASE, ReleaseReason.STOPPED, is_dead=True) == frozenset()


def test_draining_marks_what_runs_and_what_comes() -> None:
    board = ShardRegistry()
    with board.entered(claim(1)) as shard:
        board.drain()
        assert shard.stop_reason is ReleaseReason.DRAINING
        assert not shard.is_dead
        with board.entered(claim(2, lease="lease_0002")) as late:
            assert late.stop_reason is ReleaseReason.DRAINING
    assert board.draining


actions = st.lists(
    st.sampled_from(["stop", "kill", "drain", "disk"]),
    min_size=1,
    max_size=8,
)


@given(actions)
def test_the_first_reason_stays_and_death_is_final(acts: list[str]) -> None:
    board = ShardRegistry()
    reasons = {
        "stop": ReleaseReason.STOPPED,
        "kill": ReleaseReason.STOPPED,
        "drain": ReleaseReason.DRAINING,
        "disk": ReleaseReason.DISK_FULL,
    }
    with board.entered(claim(1)) as shard:
        for act in acts:
            if act == "drain":
                board.drain()
            else:
                board.stop(LEASE, reasons[act], is_dead=act == "kill")
        assert shard.stop_reason is reasons[acts[0]]
        assert shard.is_dead == ("kill" in acts)
        assert board.draining == ("drain" in acts)
