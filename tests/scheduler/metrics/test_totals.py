"""Totals as metrics: sums and buckets of reports, by worker group."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.metrics.exposed import collector, scraped, value
from trackfarm.identity import next_seeds
from trackfarm.protocol.worker import BatchShare, FailureKind, Timings
from trackfarm_scheduler.db import totals as db_totals
from trackfarm_scheduler.metrics import totals
from trackfarm_scheduler.metrics.exporter import exposition

KIND = {"model_set": "tiny", "tier": "vram24"}


def test_histogram_bucket_includes_its_bound() -> None:
    bounds = (1.0, 2.0)
    samples = [db_totals.bucket_of(seconds, bounds) for seconds in (0.5, 1.0, 1.5, 2.0, 2.1)]
    assert samples == ["1.0", "1.0", "2.0", "2.0", "+Inf"]


def test_histogram_buckets_are_cumulative() -> None:
    labels = {"stage": "denoise"} | KIND
    rows = [
        ("track_stage_seconds_bucket", labels | {"le": "+Inf"}, 1.0),
        ("track_stage_seconds_bucket", labels | {"le": "0.5"}, 2.0),
        ("track_stage_seconds_bucket", labels | {"le": "10.0"}, 3.0),
        ("track_stage_seconds_sum", labels, 40.0),
        ("of_a_newer_version", {}, 1.0),
    ]
    (family,) = [f for f in totals.families(rows) if f.name == "trackfarm_track_stage_seconds"]
    samples = {s.labels.get("le", s.name.rpartition("_")[2]): s.value for s in family.samples}
    assert samples == {"0.5": 2.0, "10.0": 5.0, "+Inf": 6.0, "count": 6.0, "sum": 40.0}


@pytest.mark.parametrize(
    ("reported", "shown"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("cpu", "cpu"),
        ("a card that a stranger made up", "other"),
    ],
)
def test_gpu_label_is_one_of_few(reported: str, shown: str) -> None:
    assert db_totals.gpu_label(reported) == shown


def test_totals_count_tracks_by_worker_kind(farm: FarmFixture) -> None:
    worker = farm.join(gpu="NVIDIA GeForce RTX 4090", provider="vast", price_per_hour=3.6)
    job = farm.submit(briefs(3)).job_id
    offer = farm.lease(worker, job)
    first, second, third = farm.track_ids(job)
    first_report = farm.upload(offer, first).model_copy(
        update={"batch": BatchShare(tracks=2, padding=0.2, passes=4)}
    )
    slow_timings = Timings(service=2.0, denoise=4.0)
    second_report = farm.upload(offer, second).model_copy(
        update={"timings": slow_timings, "batch": BatchShare(tracks=2, passes=4)}
    )
    failed_report = failure(third, FailureKind.BAD_INPUT, service=1.0)
    farm.report(worker, offer, done=[first_report, second_report], failed=[failed_report])

    samples = scraped(collector(farm))
    place = {**KIND, "gpu": "RTX 4090", "provider": "vast"}
    assert value(samples, "tracks_total", outcome="done", **place) == 2
    assert value(samples, "tracks_total", outcome="failed", **place) == 1
    assert value(samples, "audio_seconds_total", **place) == 20
    assert value(samples, "engine_seconds_total", outcome="done", **place) == 4
    assert value(samples, "engine_seconds_total", outcome="failed", **place) == 1
    cost = {"provider": "vast"}
    assert value(samples, "cost_dollars_total", bought="tracks", **cost) == pytest.approx(0.004)
    assert value(samples, "cost_dollars_total", bought="failures", **cost) == pytest.approx(0.001)
    assert value(samples, "attempts_failed_total", reason="bad_input", **KIND) == 1
    assert value(samples, "track_retries_total", reason="bad_input") is None
    assert value(samples, "padding_audio_seconds_total", **KIND) == pytest.approx(2.5)
    assert value(samples, "batches_total", **KIND) == 1
    assert value(samples, "model_passes_total", **KIND) == 8
    denoise = {"stage": "denoise", **KIND}
    assert value(samples, "track_stage_seconds_bucket", le="0.5", **denoise) == 1
    assert value(samples, "track_stage_seconds_bucket", le="5.0", **denoise) == 2
    assert value(samples, "track_stage_seconds_sum", **denoise) == 4.5
    assert value(samples, "track_stage_seconds_count", **denoise) == 2
    assert value(samples, "track_stage_seconds_count", stage="compose", **KIND) is None
    assert value(samples, "track_batch_size_bucket", le="2.0", **KIND) == 2
    assert value(samples, "track_batch_size_sum", **KIND) == 4


def test_totals_ignore_a_repeated_report(farm: FarmFixture) -> None:
    worker, job = farm.join(), farm.submit(briefs(1)).job_id
    offer = farm.lease(worker, job)
    report = farm.upload(offer, farm.track_ids(job)[0])
    farm.report(worker, offer, done=[report])
    once = exposed_totals(farm)
    farm.report(worker, offer, done=[report])
    assert exposed_totals(farm) == once


def test_totals_count_tracks_made_with_another_seed(farm: FarmFixture) -> None:
    worker, job = farm.join(), farm.submit(briefs(1)).job_id
    offer = farm.lease(worker, job)
    (track_id,) = farm.track_ids(job)
    track = farm.track(track_id)
    attempt = farm.attempt(offer, track_id)
    seed = next_seeds(track.key, attempt.seed, tries=attempt.try_number, brief_seed=None)[0]
    farm.report(
        worker, offer, done=[farm.upload(offer, track_id).model_copy(update={"seed": seed})]
    )
    samples = scraped(collector(farm))
    assert value(samples, "tracks_total", outcome="done") == 1
    assert value(samples, "tracks_remade_total") == 1


def test_totals_start_at_zero(farm: FarmFixture) -> None:
    samples = scraped(collector(farm))
    assert value(samples, "workers_lost_total") == 0
    assert value(samples, "object_bytes_total") == 0
    assert value(samples, "tracks_total") is None


def test_totals_have_valid_names(farm: FarmFixture) -> None:
    """Check the rules of its linter that a parser can check: help, type, unit and suffix."""
    for line in exposition(collector(farm)).decode().splitlines():
        if line.startswith("# TYPE trackfarm_"):
            _, _, name, kind = line.split()
            assert (kind == "counter") == name.endswith("_total"), line
            assert not name.endswith(("_ms", "_minutes", "_percent", "_mib")), line


def exposed_totals(farm: FarmFixture) -> dict[object, float]:
    samples = scraped(collector(farm))
    return {k: v for k, v in samples.items() if k[0].startswith("trackfarm") and "_total" in k[0]}
