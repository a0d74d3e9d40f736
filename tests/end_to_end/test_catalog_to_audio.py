"""From a catalog file to playable files, on embedded parts and on real servers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.catalogs import briefs, fresh_name, write_catalog
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.infrastructure import REAL
from tests.end_to_end.job_checks import (
    assert_audio_matches,
    assert_computed_once,
    assert_made_exactly_once,
    wait_until_done,
)


@pytest.fixture(scope="module")
def real_farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, kind=REAL, workers=("one", "two")) as running:
        yield running


@pytest.mark.parametrize("kind", ["csv", "jsonl", "yaml"])
def test_catalog_becomes_files_that_match_its_briefs(
    shared_farm: LocalFarm, tmp_path: Path, kind: str
) -> None:
    are_as_asked_for(shared_farm, tmp_path, kind)


def test_catalog_becomes_files_on_real_servers(real_farm: LocalFarm, tmp_path: Path) -> None:
    are_as_asked_for(real_farm, tmp_path, "yaml")


def are_as_asked_for(farm: LocalFarm, tmp_path: Path, kind: str) -> None:
    wanted = briefs(3)
    catalog = write_catalog(tmp_path / f"{fresh_name('audio')}.{kind}", wanted)
    submit = ["submit", str(catalog), "--model-set", "tiny", "--json"]
    command = [sys.executable, "-m", "trackfarm.cli", *submit]
    result = subprocess.run(command, env=farm.environment(), capture_output=True, check=True)
    job_id = json.loads(result.stdout)["job"]["id"]

    wait_until_done(farm, job_id)
    tracks = list(farm.client.tracks(job_id))
    expected = [(brief.prompt, brief.duration, brief.audio_format) for brief in wanted]
    assert [(track.prompt, track.duration, track.audio_format) for track in tracks] == expected
    for track in tracks:
        assert_audio_matches(track)
    assert_computed_once(farm, job_id)
    assert_made_exactly_once(farm, job_id)
