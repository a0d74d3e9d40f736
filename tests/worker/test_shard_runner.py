"""One shard from claim to last report, over real HTTP with a scripted engine."""

import threading
from collections.abc import Callable

import pytest

from tests.servers.scripted_http import ReceivedRequest, Reply
from tests.worker.runner_fixture import RunnerFixture
from tests.worker.shards import LEASE
from tests.worker.waiting import wait_until
from trackfarm.catalog import Brief
from trackfarm.protocol.worker import ClaimAnswer, ReleaseReason, Stage
from trackfarm_worker import shard_runner as runner_module
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed


def test_run_claims_generates_stores_and_reports_a_shard(runner: RunnerFixture) -> None:
    runner.run()
    assert runner.engine.requests == [[1, 2, 3]]
    assert runner.reported() == ({1, 2, 3}, set())
    assert runner.uploads() == 3
    assert runner.released() == []
    assert runner.registry.progress() == []
    assert runner.spooled() == []
    assert runner.outbox.next_results() is None


def test_run_reports_a_failed_track_beside_the_others(runner: RunnerFixture) -> None:
    runner.failing = {2}
    runner.run()
    assert runner.reported() == ({1, 3}, {2})
    assert runner.released() == []


@pytest.mark.parametrize("status", [409, 410])
def test_run_ignores_a_shard_whose_lease_is_lost(runner: RunnerFixture, status: int) -> None:
    runner.refusals["claim"] = Reply(status, b'{"detail":"not yours"}')
    runner.run()
    assert runner.engine.requests == []
    assert len(runner.farm.requests) == 1
    assert runner.fatal == []


def test_run_does_not_repeat_a_rejected_claim(runner: RunnerFixture) -> None:
    runner.refusals["claim"] = Reply(422)
    runner.run()
    assert len(runner.farm.requests) == 1


def test_run_ends_the_worker_when_its_token_is_refused(runner: RunnerFixture) -> None:
    runner.refusals["claim"] = Reply(401, b'{"detail":"register again"}')
    runner.run()
    assert runner.fatal == ["register again"]


def test_run_repeats_a_claim_while_the_scheduler_is_unreachable(
    runner: RunnerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_PAUSE_SECONDS", 0.001)
    answers = [Reply(503), Reply(0)]
    runner.farm.reply = lambda request: answers.pop() if answers else runner.reply(request)
    runner.run()
    assert runner.reported()[0] == {1, 2, 3}


def test_run_gives_up_a_claim_after_all_tries(
    runner: RunnerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_PAUSE_SECONDS", 0.001)
    runner.refusals["claim"] = Reply(503)
    runner.run()
    assert len(runner.farm.requests) == runner_module.CLAIM_TRIES
    assert runner.engine.requests == []


def stop_at(runner: RunnerFixture, track_id: int, *, lease_lost: bool) -> Callable[[int], None]:
    def before(reached: int) -> None:
        if reached == track_id:
            runner.engine.stop_current(
                runner.registry.stop(LEASE, ReleaseReason.STOPPED, lease_lost=lease_lost)
            )

    return before


def test_run_of_a_stopped_shard_delivers_finished_tracks_and_releases_the_rest(
    runner: RunnerFixture,
) -> None:
    runner.before = stop_at(runner, 1, lease_lost=False)
    runner.run()
    assert runner.reported() == ({1}, set())
    assert runner.released() == [([2, 3], ReleaseReason.STOPPED)]
    assert runner.spooled() == []


def test_run_with_a_lost_lease_delivers_and_releases_nothing(runner: RunnerFixture) -> None:
    runner.before = stop_at(runner, 1, lease_lost=True)
    runner.run()
    assert runner.reported() == (set(), set())
    assert runner.uploads() == 0
    assert runner.released() == []
    assert runner.spooled() == []


def test_run_releases_unmade_tracks_when_draining(runner: RunnerFixture) -> None:
    def drain(reached: int) -> None:
        if reached == 2:
            runner.registry.drain()
            runner.engine.stop_current()

    runner.before = drain
    runner.run()
    assert runner.reported() == ({1, 2}, set())
    assert runner.released() == [([3], ReleaseReason.DRAINING)]


def test_run_releases_a_shard_at_once_when_draining(runner: RunnerFixture) -> None:
    runner.registry.drain()
    runner.run()
    assert runner.engine.requests == []
    assert runner.released() == [([1, 2, 3], ReleaseReason.DRAINING)]


def test_run_without_an_engine_releases_everything_and_ends_the_worker(
    runner: RunnerFixture,
) -> None:
    def lost(_: int) -> None:
        raise EngineStartFailed("no GPU any more")

    runner.before = lost
    runner.run()
    assert runner.released() == [([1, 2, 3], ReleaseReason.ENGINE_UNAVAILABLE)]
    assert runner.fatal == ["no GPU any more"]


def test_run_does_not_repeat_a_failed_release(runner: RunnerFixture) -> None:
    runner.registry.drain()
    runner.refusals["release"] = Reply(503)
    runner.run()
    assert len(runner.calls("release")) == 1


def test_run_renews_an_expired_url_by_another_claim(runner: RunnerFixture) -> None:
    """The upload is refused until a second claim has been fixture."""

    def reply(request: ReceivedRequest) -> Reply:
        if request.method == "PUT" and len(runner.calls("claim")) < 2:
            return Reply(403)
        return runner.reply(request)

    runner.tracks = (1,)
    runner.farm.reply = reply
    runner.run()
    assert len(runner.calls("claim")) == 2
    assert runner.reported() == ({1}, set())


def test_run_keeps_the_shard_registered_until_it_is_delivered(runner: RunnerFixture) -> None:
    """Otherwise its lease would expire while the scheduler is unreachable."""
    runner.refusals["report"] = Reply(503)
    thread = threading.Thread(target=runner.run)
    thread.start()
    wait_until(lambda: len(runner.calls("report")) > 0, 20)
    (progress,) = runner.registry.progress()
    assert progress.stage is Stage.FINISHING
    runner.refusals.clear()
    thread.join()
    assert runner.registry.progress() == []
    assert runner.reported()[0] == {1, 2, 3}


def test_run_passes_the_whole_brief_to_the_engine(runner: RunnerFixture) -> None:
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

    runner.tracks = (7,)
    runner.claimed = change
    runner.run()
    (heard,) = runner.engine_tracks
    assert heard.seeds == (7, 8, 9)
    assert (heard.audio_codes, heard.cover_strength) == ("<|audio_code_7|>" * 50, 0.5)
    assert (heard.time_signature, heard.key_scale) == (3, "F# minor")
    assert heard.loudness_lufs == -23
    assert (heard.source, heard.reference) == (None, None)
