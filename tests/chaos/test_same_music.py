"""A track is the same music on any worker, in any batch, and after any loss."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tests.chaos.busy import wait_until_computing
from tests.end_to_end.catalogs import fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import assert_made_exactly_once, wait_until_done
from tests.end_to_end.recordings import (
    UnroundedRenderer,
    excess_over_rounding,
    mean_difference,
    recordings_of,
)
from tests.servers.process import wait_until
from tests.worker.engine.builders import tiny_pipeline
from trackfarm.catalog import Brief
from trackfarm.protocol.operator import JobHeader

TOLERANCE = 1e-5
FIRST, OTHER = "one", "two"
LYRICS = ("", "[verse]\nla la la", "[verse]\nFirst the rain, then the roof\n" * 8)


@pytest.fixture
def quick_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    """Start one worker, slow enough to be caught in mid-shard; a silent one is soon declared
    lost."""
    with running_farm(
        request,
        tmp_path_factory,
        workers=(FIRST,),
        worker={"step_delay": 0.1},
        lost_after_seconds=3.0,
        heartbeat_seconds=1,
    ) as running:
        yield running


def solo_briefs(count: int) -> list[Brief]:
    """Build briefs of equal cost, so that equal farms cut equal shards of them."""
    return [
        Brief(
            prompt=f"dust and neon, {'slowly, ' * n}take {n}",
            lyrics=LYRICS[n % len(LYRICS)],
            duration=10,
            guidance_scale=3.0,
            seed=1000 + n,
            audio_format="wav",
            name=f"wanted-{n}",
        )
        for n in range(count)
    ]


def other_briefs(count: int) -> list[Brief]:
    """Build other briefs, as long as one batch with the wanted ones allows; half of them
    unguided."""
    return [
        Brief(
            prompt="harbour at dawn " * (n + 1),
            duration=10.3 + n / 10,
            guidance_scale=3.0 if n % 2 else 1.0,
            seed=2000 + n,
            audio_format="wav",
            name=f"company-{n}",
        )
        for n in range(count)
    ]


def interleaved(briefs: Sequence[Brief], others: Sequence[Brief]) -> list[Brief]:
    return [brief for pair in zip(briefs, others, strict=True) for brief in pair]


def submit_job(farm: LocalFarm, briefs: Sequence[Brief]) -> str:
    """Submit a job that shares no track: an equal brief in another catalog is another track."""
    return farm.client.submit(
        JobHeader(catalog=fresh_name("music"), model_set="tiny"), briefs
    ).job.id


def names(farm: LocalFarm, job: str) -> dict[int, str]:
    return {track.id: track.name for track in farm.client.tracks(job)}


def shards(farm: LocalFarm, job: str) -> dict[str, frozenset[str]]:
    """Return, by name of each track, the names of all tracks made under the same lease."""
    name_of = names(farm, job)
    lease_of = {name_of[a.track_id]: a.lease_id for a in farm.database.artifacts(job)}
    return {
        n: frozenset(m for m in lease_of if lease_of[m] == lease) for n, lease in lease_of.items()
    }


def worker_ids(farm: LocalFarm, job: str) -> dict[str, str]:
    """Return worker ids by name of track."""
    name_of = names(farm, job)
    return {name_of[a.track_id]: a.worker_id for a in farm.database.artifacts(job)}


def lost_in_mid_shard(farm: LocalFarm, job: str) -> set[str]:
    """Kill the first worker while it makes some of the wanted tracks; return their names."""
    name_of = names(farm, job)
    held: set[str] = set()

    def begun() -> bool:
        leases = {lease.id for lease in wait_until_computing(farm, FIRST) if lease.job_id == job}
        held.update(name_of[track_id] for track_id in farm.database.open_track_ids(leases))
        return any(name.startswith("wanted") for name in held)

    wait_until(begun, timeout_s=30, what=f"{FIRST} makes some of them")
    farm.workers[FIRST].kill()
    return {name for name in held if name.startswith("wanted")}


@pytest.mark.soak
def test_track_is_the_same_music_in_another_batch(farm: LocalFarm) -> None:
    briefs = solo_briefs(2)
    alone = [submit_job(farm, [brief]) for brief in briefs]
    together = submit_job(farm, interleaved(briefs, other_briefs(2)))
    for job in (*alone, together):
        wait_until_done(farm, job)
    mixed = recordings_of(farm, together)
    solos = {name: samples for job in alone for name, samples in recordings_of(farm, job).items()}
    assert len(solos) == len(briefs)
    assert all(mean_difference(samples, mixed[name]) < TOLERANCE for name, samples in solos.items())
    assert np.abs(solos["wanted-0"] - solos["wanted-1"].astype(np.int32)).max() > 1000


@pytest.mark.soak
def test_track_is_the_same_music_after_a_kill_and_by_another_worker(
    quick_farm: LocalFarm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    farm, briefs = quick_farm, solo_briefs(6)
    before = submit_job(farm, briefs)
    wait_until_done(farm, before)
    farm.start_workers(OTHER, step_delay=0.1)
    with_a_kill = submit_job(farm, interleaved(briefs, other_briefs(6)))
    lost = lost_in_mid_shard(farm, with_a_kill)
    wait_until_done(farm, with_a_kill)
    after = submit_job(farm, briefs)
    wait_until_done(farm, after)
    for job in (before, with_a_kill, after):
        assert_made_exactly_once(farm, job)

    first, other = (farm.database.newest_worker(name).id for name in (FIRST, OTHER))
    assert set(worker_ids(farm, before).values()) == {first}
    assert set(worker_ids(farm, after).values()) == {other}
    by_other = {n for n in lost if worker_ids(farm, with_a_kill)[n] == other}
    assert by_other, "tracks lost in mid-shard were made again by the other worker"

    recordings = {job: recordings_of(farm, job) for job in (before, with_a_kill, after)}
    renderer = UnroundedRenderer(tiny_pipeline(tmp_path_factory.mktemp("models")))
    differences = {
        (job, brief.name): excess_over_rounding(
            recordings[job][str(brief.name)], renderer.render(brief)
        )
        for brief in briefs
        for job in recordings
    }
    print(f"against the track alone, unrounded: {max(differences.values()):.1e}")
    assert max(differences.values()) < TOLERANCE

    same_shards = {
        n
        for n, names_in_shard in shards(farm, before).items()
        if names_in_shard == shards(farm, after)[n]
    }
    assert any(len(shards(farm, before)[name]) > 1 for name in same_shards), (
        "they made a batch together"
    )
    assert all(np.array_equal(recordings[before][n], recordings[after][n]) for n in same_shards)
