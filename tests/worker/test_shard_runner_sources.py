"""Sources of tracks are fetched and decoded before the engine starts."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.worker.runner_fixture import RunnerFixture
from tests.worker.sources.files import flac, tone
from tests.worker.sources.hosts import SourceHost, serve_folder
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
def music(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceHost]:
    folder = tmp_path_factory.mktemp("music")
    (folder / "good.flac").write_bytes(flac(tone(48_000, 10)))
    (folder / "text.mp3").write_bytes(b"just words" * 100)
    with serve_folder(folder) as host:
        yield host


def test_run_fetches_sources_before_it_waits_for_the_engine(
    runner: RunnerFixture, music: SourceHost
) -> None:
    there: list[tuple[bool, Stage]] = []

    def look(track_id: int) -> None:
        (shard,) = runner.registry.progress()
        source = runner.engine_tracks[-1].source
        there.append((source is not None and source.is_file(), shard.stage))

    runner.before = look
    runner.claimed = covers({1: f"{music.url}good.flac"})
    runner.tracks = (1,)
    runner.run()
    assert there == [(True, Stage.WAITING)]
    done, _ = runner.results()
    assert done[1].timings.fetch > 0
    assert done[1].timings.service == 4
    assert runner.spooled() == []


def test_run_fails_tracks_without_source_and_generates_the_others(
    runner: RunnerFixture, music: SourceHost
) -> None:
    runner.tracks = (1, 2, 3, 4)
    runner.claimed = covers(
        {1: f"{music.url}text.mp3", 2: f"{music.url}good.flac", 3: f"{music.url}unwell"}
    )
    runner.run()
    assert runner.engine.requests == [[2, 4]]
    done, failed = runner.results()
    assert set(done) == {2, 4}
    assert {i: f.kind for i, f in failed.items()} == {
        1: FailureKind.BAD_INPUT,
        3: FailureKind.SOURCE_UNREACHABLE,
    }
    assert "src_audio: it is not an audio file" in failed[1].message
    assert runner.released() == []
    assert runner.spooled() == []


def test_run_without_any_source_does_not_use_the_engine(
    runner: RunnerFixture, music: SourceHost
) -> None:
    runner.claimed = covers(dict.fromkeys((1, 2, 3), f"{music.url}text.mp3"))
    runner.run()
    assert runner.engine.requests == []
    assert runner.reported() == (set(), {1, 2, 3})


def test_run_of_a_shard_stopped_while_fetching_releases_it_whole(
    runner: RunnerFixture, music: SourceHost
) -> None:
    runner.claimed = covers({2: f"{music.url}silent"})
    thread = threading.Thread(target=runner.run)
    thread.start()
    wait_until(lambda: "silent" in music.requests, 30)
    (progress,) = runner.registry.progress()
    assert progress.stage is Stage.FETCHING
    runner.registry.drain()
    thread.join()
    assert runner.engine.requests == []
    assert runner.released() == [([1, 2, 3], ReleaseReason.DRAINING)]
    assert runner.reported() == (set(), set())
    assert runner.spooled() == []
