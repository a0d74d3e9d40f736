"""One shard from claim to last report, over real HTTP with a scripted engine."""

import threading
from collections.abc import Callable

import pytest

from tests.servers.scripted_http import ReceivedRequest, Reply
from tests.worker.shard_runner.runner_fixture import RunnerFixture
from tests.worker.shards import LEASE
from tests.worker.waiting import wait_until
from trackfarm.catalog import Brief
from trackfarm.protocol.worker import ClaimAnswer, ReleaseReason, Stage
from trackfarm_worker import shard_runner as runner_module
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed


def test_a_shard_is_claimed_made_stored_and_reported(bench: RunnerFixture) -> None:
    bench.run()
    assert bench.engine.asked == [[1, 2, 3]]
    assert bench.reported() == ({1, 2, 3}, set())
    assert bench.uploads() == 3
    assert bench.released() == []
    assert bench.board.progress() == []
    assert bench.spooled() == []
    assert bench.outbox.next_parcel() is None


def test_one_bad_track_does_not_take_the_others_along(bench: RunnerFixture) -> None:
    bench.failing = {2}
    bench.run()
    assert bench.reported() == ({1, 3}, {2})
    assert bench.released() == []


@pytest.mark.parametrize("status", [409, 410])
def test_a_shard_that_is_not_ours_any_more_is_left_alone(bench: RunnerFixture, status: int) -> None:
    bench.refusals["claim"] = Reply(status, b'{"detail":"not yours"}')
    bench.run()
    assert bench.engine.asked == []
    assert len(bench.farm.requests) == 1
    assert bench.fatal == []


def test_a_refused_claim_is_not_repeated(bench: RunnerFixture) -> None:
    bench.refusals["claim"] = Reply(422)
    bench.run()
    assert len(bench.farm.requests) == 1


def test_a_void_token_ends_the_worker(bench: RunnerFixture) -> None:
    bench.refusals["claim"] = Reply(401, b'{"detail":"register again"}')
    bench.run()
    assert bench.fatal == ["register again"]


def test_a_claim_is_repeated_while_the_scheduler_is_away(
    bench: RunnerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_PAUSE", 0.001)
    replies = [Reply(503), Reply(0)]
    bench.farm.reply = lambda request: replies.pop() if replies else bench.reply(request)
    bench.run()
    assert bench.reported()[0] == {1, 2, 3}


def test_a_claim_is_given_up_in_the_end(
    bench: RunnerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_PAUSE", 0.001)
    bench.refusals["claim"] = Reply(503)
    bench.run()
    assert len(bench.farm.requests) == runner_module.CLAIM_TRIES
    assert bench.engine.asked == []


def stop_at(bench: RunnerFixture, track_id: int, *, is_dead: bool) -> Callable[[int], None]:
    def before(reached: int) -> None:
        if reached == track_id:
            bench.engine.stop_current(
                bench.board.stop(LEASE, ReleaseReason.STOPPED, is_dead=is_dead)
            )

    return before


def test_a_stopped_shard_delivers_what_is_finished_and_hands_back_the_rest(
    bench: RunnerFixture,
) -> None:
    bench.before = stop_at(bench, 1, is_dead=False)
    bench.run()
    assert bench.reported() == ({1}, set())
    assert bench.released() == [([2, 3], ReleaseReason.STOPPED)]
    assert bench.spooled() == []


def test_a_dead_lease_delivers_nothing_and_hands_back_nothing(bench: RunnerFixture) -> None:
    bench.before = stop_at(bench, 1, is_dead=True)
    bench.run()
    assert bench.reported() == (set(), set())
    assert bench.uploads() == 0
    assert bench.released() == []
    assert bench.spooled() == []


def test_draining_hands_back_what_was_not_made(bench: RunnerFixture) -> None:
    def drain(reached: int) -> None:
        if reached == 2:
            bench.board.drain()
            bench.engine.stop_current()

    bench.before = drain
    bench.run()
    assert bench.reported() == ({1, 2}, set())
    assert bench.released() == [([3], ReleaseReason.DRAINING)]


def test_a_shard_that_comes_while_draining_goes_straight_back(bench: RunnerFixture) -> None:
    bench.board.drain()
    bench.run()
    assert bench.engine.asked == []
    assert bench.released() == [([1, 2, 3], ReleaseReason.DRAINING)]


def test_without_an_engine_everything_goes_back_and_the_worker_ends(bench: RunnerFixture) -> None:
    def lost(_: int) -> None:
        raise EngineStartFailed("no GPU any more")

    bench.before = lost
    bench.run()
    assert bench.released() == [([1, 2, 3], ReleaseReason.ENGINE_UNAVAILABLE)]
    assert bench.fatal == ["no GPU any more"]


def test_a_release_that_fails_is_left_to_the_lease(bench: RunnerFixture) -> None:
    bench.board.drain()
    bench.refusals["release"] = Reply(503)
    bench.run()
    assert len(bench.calls("release")) == 1


def test_an_expired_url_is_renewed_by_claiming_again(bench: RunnerFixture) -> None:
    """The upload is refused until a second claim has been made."""

    def reply(request: ReceivedRequest) -> Reply:
        if request.method == "PUT" and len(bench.calls("claim")) < 2:
            return Reply(403)
        return bench.reply(request)

    bench.tracks = (1,)
    bench.farm.reply = reply
    bench.run()
    assert len(bench.calls("claim")) == 2
    assert bench.reported() == ({1}, set())


def test_the_shard_stays_on_the_board_until_it_is_delivered(bench: RunnerFixture) -> None:
    """Otherwise its lease would expire while the scheduler is unreachable."""
    bench.refusals["report"] = Reply(503)
    thread = threading.Thread(target=bench.run)
    thread.start()
    wait_until(lambda: len(bench.calls("report")) > 0, 20)
    (progress,) = bench.board.progress()
    assert progress.stage is Stage.FINISHING
    bench.refusals.clear()
    thread.join()
    assert bench.board.progress() == []
    assert bench.reported()[0] == {1, 2, 3}


def test_the_engine_is_told_all_that_the_brief_says(bench: RunnerFixture) -> None:
    brief = Brief.model_validate(
        {
            "prompt": "p",
            "duration": 10,
            "task_type": "text2music",
            "audio_code_string": "<|audio_code_7|>" * 50,
            "audio_cover_strength": 0.5,
            "time_signature": "3/4",
            "key_scale": "F# minor",
            "loudness_lufs": -23,
        }
    )

    def change(answer: ClaimAnswer) -> ClaimAnswer:
        orders = [
            order.model_copy(update={"brief": brief, "next_seeds": (8, 9)})
            for order in answer.tracks
        ]
        return answer.model_copy(update={"tracks": orders})

    bench.tracks = (7,)
    bench.claimed = change
    bench.run()
    (heard,) = bench.heard
    assert heard.seeds == (7, 8, 9)
    assert (heard.audio_codes, heard.cover_strength) == ("<|audio_code_7|>" * 50, 0.5)
    assert (heard.time_signature, heard.key_scale) == (3, "F# minor")
    assert heard.loudness_lufs == -23
    assert (heard.source, heard.reference) == (None, None)
