"""Source cache of a shard: each source is fetched once, and removed with the shard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.worker.shards import order
from tests.worker.sources.files import SECONDS
from tests.worker.sources.hosts import Host
from trackfarm.catalog import Brief
from trackfarm.protocol.worker import TrackOrder
from trackfarm_worker.sources.cache import Prepared, SourceCache
from trackfarm_worker.sources.protocol import SourceAway, SourceRefused

Wanted = Callable[..., TrackOrder]


@pytest.fixture
def wanted(host: Host) -> Wanted:
    """Return a track with the sources `object:<path>`, behind URLs that differ each time."""

    def make(
        track_id: int,
        *,
        source: str | None = None,
        timbre: str | None = None,
        duration: float = SECONDS,
    ) -> TrackOrder:
        named = {"src_audio": source, "reference_audio": timbre}
        fields = {field: f"object:{path}" for field, path in named.items() if path}
        task = {"task_type": "cover"} if source else {}
        brief = Brief.model_validate({"prompt": "p", "duration": 10, **task, **fields})
        brief = brief.model_copy(update={"duration": duration})
        urls = {f: f"{host.url}{path}?ticket={track_id}" for f, path in named.items() if path}
        return order(track_id).model_copy(update={"brief": brief, "source_urls": urls})

    return make


def patient() -> bool:
    return False


def test_a_source_of_many_tracks_is_fetched_once(
    wanted: Wanted, host: Host, tmp_path: Path
) -> None:
    tracks = [
        wanted(1, source="good.flac"),
        wanted(2, source="good.flac", timbre="secret.wav"),
        wanted(3, timbre="secret.wav"),
        wanted(4),
    ]
    host.asked.clear()
    with SourceCache(tmp_path).prepared("lease_1", tracks, patient) as found:
        assert sorted(host.asked) == ["good.flac", "secret.wav"]
        first, second, third, fourth = (found[n] for n in (1, 2, 3, 4))
        assert isinstance(first, Prepared)
        assert isinstance(second, Prepared)
        assert isinstance(third, Prepared)
        assert first.source == second.source
        assert second.reference == third.reference
        assert (first.reference, third.source, fourth) == (None, None, Prepared())
        assert first.seconds > 0
        assert second.seconds > 0
        assert third.seconds == 0, "what is shared is counted once"
        assert second.source
        assert np.load(second.source).shape == (144_000, 2)
    assert list(tmp_path.iterdir()) == []


def test_one_bad_source_takes_no_other_along(wanted: Wanted, tmp_path: Path) -> None:
    tracks = [
        wanted(1, source="good.flac"),
        wanted(2, source="text.mp3"),
        wanted(3, source="good.flac", timbre="unwell"),
        wanted(4, source="nowhere"),
        wanted(5, source="good.flac").model_copy(update={"source_urls": {}}),
    ]
    with SourceCache(tmp_path).prepared("lease_1", tracks, patient) as found:
        assert isinstance(found[1], Prepared)
        assert isinstance(found[3], SourceAway)
        assert found[3].message.startswith("reference_audio: its server returned HTTP 503")
        for number, words in ((2, "not an audio file"), (4, "404")):
            refused = found[number]
            assert isinstance(refused, SourceRefused)
            assert refused.message.startswith("src_audio: ")
            assert words in refused.message
        assert isinstance(found[5], Prepared), "another track of the shard had its URL"
    assert list(tmp_path.iterdir()) == []


def test_disk_is_bounded(wanted: Wanted, tmp_path: Path) -> None:
    tracks = [wanted(1, source="good.flac"), wanted(2, source="secret.wav")]
    with SourceCache(tmp_path, shard_bytes=-1).prepared("lease_1", tracks, patient) as found:
        assert set(found) == {1, 2}
        for answer in found.values():
            assert isinstance(answer, SourceAway)
            assert answer.is_disk_full


def test_a_shard_that_is_stopped_waits_for_nothing(
    wanted: Wanted, host: Host, tmp_path: Path
) -> None:
    host.asked.clear()
    room = SourceCache(tmp_path)
    with room.prepared("lease_1", [wanted(1, source="silent")], lambda: True) as found:
        assert isinstance(found[1], SourceAway)
    assert host.asked == []


def test_without_sources_nothing_is_done(wanted: Wanted, tmp_path: Path) -> None:
    with SourceCache(tmp_path).prepared("lease_1", [wanted(1)], patient) as found:
        assert found == {1: Prepared()}
        assert list(tmp_path.iterdir()) == []


def test_a_source_of_another_length_than_was_planned_for_is_refused(
    wanted: Wanted, tmp_path: Path
) -> None:
    tracks = [
        wanted(1, source="good.flac", duration=SECONDS + 0.9),
        wanted(2, source="good.flac", duration=60),
        wanted(3, timbre="good.flac", duration=60),
    ]
    with SourceCache(tmp_path).prepared("lease_1", tracks, patient) as found:
        assert isinstance(found[1], Prepared)
        assert isinstance(found[3], Prepared)
        wrong = "it is 3.0 s long, but the brief says 60 s; set duration to 3.0"
        assert found[2] == SourceRefused(f"src_audio: {wrong}")
