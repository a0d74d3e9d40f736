"""Source cache of a shard: each source is fetched once, and removed with the shard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.worker.shards import order
from tests.worker.sources.files import SECONDS
from tests.worker.sources.hosts import SourceHost
from trackfarm.catalog import Brief
from trackfarm.protocol.worker import TrackOrder
from trackfarm_worker.sources.cache import SourceCache, TrackSources
from trackfarm_worker.sources.protocol import SourceRefused, SourceUnavailable

OrderFactory = Callable[..., TrackOrder]


@pytest.fixture
def track_order(host: SourceHost) -> OrderFactory:
    """Return a track with the sources `object:<path>`, behind URLs that differ each time."""

    def make(
        track_id: int,
        *,
        source: str | None = None,
        timbre: str | None = None,
        duration: float = SECONDS,
    ) -> TrackOrder:
        references = {"src_audio": source, "reference_audio": timbre}
        fields = {field: f"object:{path}" for field, path in references.items() if path}
        task = {"task_type": "cover"} if source else {}
        brief = Brief.model_validate({"prompt": "p", "duration": 10, **task, **fields})
        brief = brief.model_copy(update={"duration": duration})
        urls = {f: f"{host.url}{path}?ticket={track_id}" for f, path in references.items() if path}
        return order(track_id).model_copy(update={"brief": brief, "source_urls": urls})

    return make


def never() -> bool:
    return False


def test_cache_fetches_a_shared_source_once(
    track_order: OrderFactory, host: SourceHost, tmp_path: Path
) -> None:
    tracks = [
        track_order(1, source="good.flac"),
        track_order(2, source="good.flac", timbre="secret.wav"),
        track_order(3, timbre="secret.wav"),
        track_order(4),
    ]
    host.requests.clear()
    with SourceCache(tmp_path).prepared("lease_1", tracks, never) as sources:
        assert sorted(host.requests) == ["good.flac", "secret.wav"]
        first, second, third, fourth = (sources[n] for n in (1, 2, 3, 4))
        assert isinstance(first, TrackSources)
        assert isinstance(second, TrackSources)
        assert isinstance(third, TrackSources)
        assert first.source == second.source
        assert second.reference == third.reference
        assert (first.reference, third.source, fourth) == (None, None, TrackSources())
        assert first.seconds > 0
        assert second.seconds > 0
        assert third.seconds == 0, "what is shared is counted once"
        assert second.source
        assert np.load(second.source).shape == (144_000, 2)
    assert list(tmp_path.iterdir()) == []


def test_cache_reports_each_bad_source_for_its_own_tracks(
    track_order: OrderFactory, tmp_path: Path
) -> None:
    tracks = [
        track_order(1, source="good.flac"),
        track_order(2, source="text.mp3"),
        track_order(3, source="good.flac", timbre="unwell"),
        track_order(4, source="nowhere"),
        track_order(5, source="good.flac").model_copy(update={"source_urls": {}}),
    ]
    with SourceCache(tmp_path).prepared("lease_1", tracks, never) as sources:
        assert isinstance(sources[1], TrackSources)
        assert isinstance(sources[3], SourceUnavailable)
        assert sources[3].message.startswith("reference_audio: its server returned HTTP 503")
        for number, words in ((2, "not an audio file"), (4, "404")):
            refusal = sources[number]
            assert isinstance(refusal, SourceRefused)
            assert refusal.message.startswith("src_audio: ")
            assert words in refusal.message
        assert isinstance(sources[5], TrackSources), "another track of the shard had its URL"
    assert list(tmp_path.iterdir()) == []


def test_cache_bounds_the_disk_space_of_a_shard(track_order: OrderFactory, tmp_path: Path) -> None:
    tracks = [track_order(1, source="good.flac"), track_order(2, source="secret.wav")]
    with SourceCache(tmp_path, max_shard_bytes=-1).prepared("lease_1", tracks, never) as sources:
        assert set(sources) == {1, 2}
        for result in sources.values():
            assert isinstance(result, SourceUnavailable)
            assert result.is_disk_full


def test_cache_fetches_nothing_for_a_stopped_shard(
    track_order: OrderFactory, host: SourceHost, tmp_path: Path
) -> None:
    host.requests.clear()
    cache = SourceCache(tmp_path)
    with cache.prepared("lease_1", [track_order(1, source="silent")], lambda: True) as sources:
        assert isinstance(sources[1], SourceUnavailable)
    assert host.requests == []


def test_cache_without_sources_does_nothing(track_order: OrderFactory, tmp_path: Path) -> None:
    with SourceCache(tmp_path).prepared("lease_1", [track_order(1)], never) as sources:
        assert sources == {1: TrackSources()}
        assert list(tmp_path.iterdir()) == []


def test_cache_refuses_a_source_of_another_length_than_the_brief(
    track_order: OrderFactory, tmp_path: Path
) -> None:
    tracks = [
        track_order(1, source="good.flac", duration=SECONDS + 0.9),
        track_order(2, source="good.flac", duration=60),
        track_order(3, timbre="good.flac", duration=60),
    ]
    with SourceCache(tmp_path).prepared("lease_1", tracks, never) as sources:
        assert isinstance(sources[1], TrackSources)
        assert isinstance(sources[3], TrackSources)
        reason = "it is 3.0 s long, but the brief says 60 s; set duration to 3.0"
        assert sources[2] == SourceRefused(f"src_audio: {reason}")
