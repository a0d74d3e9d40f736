"""One shard from claim to last report, over real HTTP with an engine that is told what to do."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from tests.worker.conditions import wait_until
from tests.worker.fake_engine import FakeEngine
from tests.worker.http_server import Answer, Asked, Site, site
from tests.worker.shards import LEASE, SHARD, audio, claim, verdicts
from tests.worker.sources.files import flac, tone
from tests.worker.sources.hosts import LOOPBACK, Host, hosting
from trackfarm.catalog import Brief
from trackfarm.wire import (
    ClaimAnswer,
    FailureKind,
    ReleaseReason,
    ReleaseRequest,
    ReportRequest,
    Stage,
    TrackDone,
    TrackFailed,
    TrackOrder,
)
from trackfarm_worker import runner as runner_module
from trackfarm_worker.board import Board
from trackfarm_worker.client import SchedulerClient
from trackfarm_worker.encoders import EncoderPool
from trackfarm_worker.engine.messages import EngineTrack, Event, Failed, Progress, Result
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.engine.supervisor import EngineStartFailed
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.reporter import Reporter
from trackfarm_worker.runner import ShardRunner
from trackfarm_worker.sources.room import SourceRoom


@pytest.fixture(scope="module")
def encoders() -> Iterator[EncoderPool]:
    with EncoderPool(1) as pool:
        yield pool


class Bench:
    """A runner with all its parts real but the engine, and a scheduler that says yes."""

    def __init__(self, folder: Path, farm: Site, encoders: EncoderPool) -> None:
        self.farm = farm
        self.folder = folder
        self.tracks: tuple[int, ...] = (1, 2, 3)
        self.refusals: dict[str, Answer] = {}
        self.claimed: Callable[[ClaimAnswer], ClaimAnswer] = lambda claim: claim
        self.heard: list[EngineTrack] = []
        self.before: Callable[[int], None] = lambda _: None
        self.failing: set[int] = set()
        self.fatal: list[str] = []
        self.board = Board()
        self.engine = FakeEngine(self.make)
        self.client = SchedulerClient(farm.url, token="secret")
        self.outbox = Outbox(folder / "outbox.db")
        self.finisher = Finisher(encoders=encoders, spool=folder)
        self.finishing = ThreadPoolExecutor(2)
        self.reporter = Reporter(
            outbox=self.outbox, client=self.client, on_unwelcome=self.fatal.append
        )
        self.runner = ShardRunner(
            client=self.client,
            board=self.board,
            engine=cast(EngineProcess, self.engine),
            finisher=self.finisher,
            sources=SourceRoom(folder, rules=LOOPBACK),
            outbox=self.outbox,
            finishing=self.finishing,
            on_engine_lost=self.fatal.append,
            on_unwelcome=self.fatal.append,
        )
        farm.reply = self.reply
        self.reporter.start()

    def close(self) -> None:
        self.reporter.stop(timeout=10)
        self.finishing.shutdown()
        self.finisher.close()
        self.client.close()
        self.outbox.close()

    def reply(self, asked: Asked) -> Answer:
        call = asked.path.rsplit("/", 1)[-1]
        if call in self.refusals:
            return self.refusals[call]
        if call == "claim":
            claimed = self.claimed(claim(*self.tracks, url=f"{self.farm.url}/"))
            return Answer(body=claimed.model_dump_json().encode())
        return Answer(body=verdicts()) if call == "report" else Answer()

    def make(self, track: EngineTrack, on_event: Callable[[Event], None]) -> Result:
        self.heard.append(track)
        self.before(track.track_id)
        if track.track_id in self.failing:
            return Failed(track_id=track.track_id, kind=FailureKind.SILENT, message="nothing")
        on_event(Progress(track_ids=[track.track_id], stage="denoise", step=1, steps=8))
        return audio(self.folder, track.track_id)

    def run(self) -> None:
        self.runner.run(SHARD, LEASE)

    def calls(self, name: str) -> list[Asked]:
        return [asked for asked in self.farm.asked if asked.path.endswith(f"/{name}")]

    def reported(self) -> tuple[set[int], set[int]]:
        done, failed = self.results()
        return set(done), set(failed)

    def results(self) -> tuple[dict[int, TrackDone], dict[int, TrackFailed]]:
        reports = [ReportRequest.model_validate_json(a.body) for a in self.calls("report")]
        done = {t.track_id: t for r in reports for t in r.done}
        return done, {t.track_id: t for r in reports for t in r.failed}

    def released(self) -> list[tuple[list[int], ReleaseReason]]:
        requests = [ReleaseRequest.model_validate_json(a.body) for a in self.calls("release")]
        return [(r.track_ids, r.reason) for r in requests]

    def uploads(self) -> int:
        return sum(asked.method == "PUT" for asked in self.farm.asked)

    def spooled(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if not path.name.startswith("outbox")]


@pytest.fixture
def bench(tmp_path: Path, encoders: EncoderPool) -> Iterator[Bench]:
    with site() as farm:
        made = Bench(tmp_path, farm, encoders)
        yield made
        made.close()


def test_a_shard_is_claimed_made_stored_and_reported(bench: Bench) -> None:
    bench.run()
    assert bench.engine.asked == [[1, 2, 3]]
    assert bench.reported() == ({1, 2, 3}, set())
    assert bench.uploads() == 3
    assert bench.released() == []
    assert bench.board.progress() == []
    assert bench.spooled() == []
    assert bench.outbox.next_parcel() is None


def test_one_bad_track_does_not_take_the_others_along(bench: Bench) -> None:
    bench.failing = {2}
    bench.run()
    assert bench.reported() == ({1, 3}, {2})
    assert bench.released() == []


@pytest.mark.parametrize("status", [409, 410])
def test_a_shard_that_is_not_ours_any_more_is_left_alone(bench: Bench, status: int) -> None:
    bench.refusals["claim"] = Answer(status, b'{"detail":"not yours"}')
    bench.run()
    assert bench.engine.asked == []
    assert len(bench.farm.asked) == 1
    assert bench.fatal == []


def test_a_refused_claim_is_not_repeated(bench: Bench) -> None:
    bench.refusals["claim"] = Answer(422)
    bench.run()
    assert len(bench.farm.asked) == 1


def test_a_void_token_ends_the_worker(bench: Bench) -> None:
    bench.refusals["claim"] = Answer(401, b'{"detail":"register again"}')
    bench.run()
    assert bench.fatal == ["register again"]


def test_a_claim_is_repeated_while_the_scheduler_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_PAUSE", 0.001)
    answers = [Answer(503), Answer(0)]
    bench.farm.reply = lambda asked: answers.pop() if answers else bench.reply(asked)
    bench.run()
    assert bench.reported()[0] == {1, 2, 3}


def test_a_claim_is_given_up_in_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_PAUSE", 0.001)
    bench.refusals["claim"] = Answer(503)
    bench.run()
    assert len(bench.farm.asked) == runner_module.CLAIM_TRIES
    assert bench.engine.asked == []


def stop_at(bench: Bench, track_id: int, *, is_dead: bool) -> Callable[[int], None]:
    def before(reached: int) -> None:
        if reached == track_id:
            bench.engine.stop_current(
                bench.board.stop(LEASE, ReleaseReason.STOPPED, is_dead=is_dead)
            )

    return before


def test_a_stopped_shard_delivers_what_is_finished_and_hands_back_the_rest(bench: Bench) -> None:
    bench.before = stop_at(bench, 1, is_dead=False)
    bench.run()
    assert bench.reported() == ({1}, set())
    assert bench.released() == [([2, 3], ReleaseReason.STOPPED)]
    assert bench.spooled() == []


def test_a_dead_lease_delivers_nothing_and_hands_back_nothing(bench: Bench) -> None:
    bench.before = stop_at(bench, 1, is_dead=True)
    bench.run()
    assert bench.reported() == (set(), set())
    assert bench.uploads() == 0
    assert bench.released() == []
    assert bench.spooled() == []


def test_draining_hands_back_what_was_not_made(bench: Bench) -> None:
    def drain(reached: int) -> None:
        if reached == 2:
            bench.board.drain()
            bench.engine.stop_current()

    bench.before = drain
    bench.run()
    assert bench.reported() == ({1, 2}, set())
    assert bench.released() == [([3], ReleaseReason.DRAINING)]


def test_a_shard_that_comes_while_draining_goes_straight_back(bench: Bench) -> None:
    bench.board.drain()
    bench.run()
    assert bench.engine.asked == []
    assert bench.released() == [([1, 2, 3], ReleaseReason.DRAINING)]


def test_without_an_engine_everything_goes_back_and_the_worker_ends(bench: Bench) -> None:
    def lost(_: int) -> None:
        raise EngineStartFailed("no GPU any more")

    bench.before = lost
    bench.run()
    assert bench.released() == [([1, 2, 3], ReleaseReason.ENGINE_UNAVAILABLE)]
    assert bench.fatal == ["no GPU any more"]


def test_a_release_that_fails_is_left_to_the_lease(bench: Bench) -> None:
    bench.board.drain()
    bench.refusals["release"] = Answer(503)
    bench.run()
    assert len(bench.calls("release")) == 1


def test_an_expired_url_is_renewed_by_claiming_again(bench: Bench) -> None:
    """The upload is refused until a second claim has been made."""

    def reply(asked: Asked) -> Answer:
        if asked.method == "PUT" and len(bench.calls("claim")) < 2:
            return Answer(403)
        return bench.reply(asked)

    bench.tracks = (1,)
    bench.farm.reply = reply
    bench.run()
    assert len(bench.calls("claim")) == 2
    assert bench.reported() == ({1}, set())


def test_the_shard_stays_on_the_board_until_it_is_delivered(bench: Bench) -> None:
    """Else its lease would run out while the scheduler is away."""
    bench.refusals["report"] = Answer(503)
    thread = threading.Thread(target=bench.run)
    thread.start()
    wait_until(lambda: len(bench.calls("report")) > 0, 20)
    (progress,) = bench.board.progress()
    assert progress.stage is Stage.FINISHING
    bench.refusals.clear()
    thread.join()
    assert bench.board.progress() == []
    assert bench.reported()[0] == {1, 2, 3}


def covers(urls: dict[int, str]) -> Callable[[ClaimAnswer], ClaimAnswer]:
    """Makes covers of the tracks named here, of sources that are 10 s long."""

    def change(answer: ClaimAnswer) -> ClaimAnswer:
        return answer.model_copy(update={"tracks": [_cover(o, urls) for o in answer.tracks]})

    return change


def _cover(order: TrackOrder, urls: dict[int, str]) -> TrackOrder:
    if order.track_id not in urls:
        return order
    url = urls[order.track_id]
    changes = {"task_type": "cover", "src_audio": url}
    brief = order.brief.model_copy(update=changes)
    return order.model_copy(update={"brief": brief, "source_urls": {"src_audio": url}})


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("music")
    (folder / "good.flac").write_bytes(flac(tone(48_000, 10)))
    (folder / "text.mp3").write_bytes(b"just words" * 100)
    with hosting(folder) as host:
        yield host


def test_sources_are_fetched_before_the_engines_turn(bench: Bench, music: Host) -> None:
    there: list[tuple[bool, Stage]] = []

    def look(track_id: int) -> None:
        (shard,) = bench.board.progress()
        source = bench.heard[-1].source
        there.append((source is not None and source.is_file(), shard.stage))

    bench.before = look
    bench.claimed = covers({1: f"{music.url}good.flac"})
    bench.tracks = (1,)
    bench.run()
    assert there == [(True, Stage.WAITING)]
    done, _ = bench.results()
    assert done[1].timings.fetch > 0
    assert done[1].timings.service == 4
    assert bench.spooled() == []


def test_what_has_no_source_fails_at_once_and_the_others_go_on(bench: Bench, music: Host) -> None:
    bench.tracks = (1, 2, 3, 4)
    bench.claimed = covers(
        {1: f"{music.url}text.mp3", 2: f"{music.url}good.flac", 3: f"{music.url}unwell"}
    )
    bench.run()
    assert bench.engine.asked == [[2, 4]]
    done, failed = bench.results()
    assert set(done) == {2, 4}
    assert {i: f.kind for i, f in failed.items()} == {
        1: FailureKind.BAD_INPUT,
        3: FailureKind.SOURCE_UNREACHABLE,
    }
    assert "src_audio: it is no audio" in failed[1].message
    assert bench.released() == []
    assert bench.spooled() == []


def test_a_shard_without_any_source_leaves_the_engine_alone(bench: Bench, music: Host) -> None:
    bench.claimed = covers(dict.fromkeys((1, 2, 3), f"{music.url}text.mp3"))
    bench.run()
    assert bench.engine.asked == []
    assert bench.reported() == (set(), {1, 2, 3})


def test_a_shard_that_is_stopped_while_it_fetches_goes_back_whole(
    bench: Bench, music: Host
) -> None:
    bench.claimed = covers({2: f"{music.url}silent"})
    thread = threading.Thread(target=bench.run)
    thread.start()
    wait_until(lambda: "silent" in music.asked, 30)
    (progress,) = bench.board.progress()
    assert progress.stage is Stage.FETCHING
    bench.board.drain()
    thread.join()
    assert bench.engine.asked == []
    assert bench.released() == [([1, 2, 3], ReleaseReason.DRAINING)]
    assert bench.reported() == (set(), set())
    assert bench.spooled() == []


def test_the_engine_is_told_all_that_the_brief_says(bench: Bench) -> None:
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
