"""Sources of tracks are fetched and decoded before the engine starts."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.worker.shard_runner.runner_fixture import RunnerFixture
from tests.worker.sources.files import flac, tone
from tests.worker.sources.hosts import Host, hosting
from tests.worker.waiting import wait_until
from trackfarm.protocol.worker import ClaimAnswer, FailureKind, ReleaseReason, Stage, TrackOrder


def covers(urls: dict[int, str]) -> Callable[[ClaimAnswer], ClaimAnswer]:
    """Return covers of the given tracks, with sources that are 10 s long."""

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


def test_sources_are_fetched_before_the_engines_turn(bench: RunnerFixture, music: Host) -> None:
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


def test_what_has_no_source_fails_at_once_and_the_others_go_on(
    bench: RunnerFixture, music: Host
) -> None:
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
    assert "src_audio: it is not an audio file" in failed[1].message
    assert bench.released() == []
    assert bench.spooled() == []


def test_a_shard_without_any_source_leaves_the_engine_alone(
    bench: RunnerFixture, music: Host
) -> None:
    bench.claimed = covers(dict.fromkeys((1, 2, 3), f"{music.url}text.mp3"))
    bench.run()
    assert bench.engine.asked == []
    assert bench.reported() == (set(), {1, 2, 3})


def test_a_shard_that_is_stopped_while_it_fetches_goes_back_whole(
    bench: RunnerFixture, music: Host
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
