"""Validation of reports: accepted values, and accepted engine seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.catalog.vocabulary import AudioFormat
from trackfarm.protocol.worker import Measurements, Timings, TrackDone
from trackfarm_scheduler.policy.validation import (
    ExpectedAudio,
    PlausibleBounds,
    accepted_share,
    clip_timings,
    engine_seconds,
    implausibility,
)

HONEST: dict[AudioFormat, int] = {
    "mp3": 60 * 40_000 + 500,
    "wav": 60 * 48_000 * 4 + 500,
    "flac": 60 * 100_000,
    "opus": 60 * 20_000,
}
BOUNDS = PlausibleBounds(engine_share=1.2)


def done(size: int, **measured: float) -> TrackDone:
    facts = {
        "seconds": 60.0,
        "sample_rate": 48_000,
        "channels": 2,
        "peak_dbfs": -1,
        "rms_dbfs": -18,
        "clipped": 0,
        "dc": 0,
    }
    return TrackDone(
        track_id=1,
        object_key="tracks/1",
        size=size,
        md5="0" * 32,
        sha256="0" * 64,
        seed=1,
        measurements=Measurements.model_validate(facts | measured),
        timings=Timings(),
    )


@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("seconds", [59.0, 60.0, 61.0])
def test_validation_accepts_results_of_our_workers(kind: AudioFormat, seconds: float) -> None:
    assert implausibility(done(HONEST[kind], seconds=seconds), ExpectedAudio(60, kind)) is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"seconds": 58.0}, "58 s of audio, but 60 s were requested"),
        ({"seconds": 3_600.0}, "3600 s of audio"),
        ({"sample_rate": 96_000}, "mp3 cannot have 96000"),
        ({"sample_rate": 47_999}, "mp3 cannot have 47999"),
        ({"channels": 6}, "6 channels"),
    ],
)
def test_validation_compares_measurements_with_the_brief(
    wrong: dict[str, float], reason: str
) -> None:
    message = implausibility(done(HONEST["mp3"], **wrong), ExpectedAudio(60, "mp3"))
    assert message is not None
    assert reason in message


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("mp3", 5),
        ("mp3", 59_999),
        ("mp3", 4_400_001),
        ("wav", 60 * 48_000),
        ("wav", 60 * 48_000 * 8 + 2_000_001),
        ("flac", 60 * 48_000 * 8 + 2_000_001),
        ("opus", 5_840_001),
    ],
)
def test_validation_bounds_the_size_by_format(kind: AudioFormat, size: int) -> None:
    assert "cannot have" in (implausibility(done(size), ExpectedAudio(60, kind)) or "")


@given(st.lists(st.floats(0, 10_000), max_size=8), st.floats(0, 5_000))
def test_accepted_share_never_exceeds_the_leases_time(claims: list[float], wall: float) -> None:
    """The number of reports does not matter."""
    before = 0.0
    for claimed in claims:
        share = accepted_share(claimed, wall=wall, before=before, bounds=BOUNDS)
        assert 0 <= share <= 1
        before += share * claimed
    assert before <= 1.2 * wall + BOUNDS.slack + 1e-6


def test_accepted_share_of_an_honest_report_is_whole() -> None:
    assert accepted_share(100, wall=100, before=0, bounds=BOUNDS) == 1
    assert accepted_share(21, wall=100, before=100, bounds=BOUNDS) == 1
    assert accepted_share(100, wall=10, before=13, bounds=BOUNDS) == 0


def test_clip_timings_cuts_every_stage() -> None:
    reported = Timings(service=100, denoise=200, decode=50, fetch=86_400, encode=1, upload=86_400)
    assert engine_seconds(reported) == 250
    cut = clip_timings(reported, share=0.1, wall=10, bounds=BOUNDS)
    assert (cut.service, cut.denoise, cut.decode) == (10, 20, 5)
    assert (cut.fetch, cut.encode, cut.upload) == (13, 1, 13)
