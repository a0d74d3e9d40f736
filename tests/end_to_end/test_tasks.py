"""Every task of ACE-Step, from the example catalog and its local sources to finished files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlmodel import col

from tests.end_to_end.farm import LocalFarm
from tests.end_to_end.job_checks import (
    assert_audio_matches,
    assert_computed_once,
    assert_made_exactly_once,
    wait_until_done,
)
from tests.servers.process import wait_until
from tests.worker.judges import JUDGES, AudioFile, judged, lufs
from tests.worker.sources.hosts import serve_folder
from trackfarm.catalog import Brief, open_catalog
from trackfarm.protocol.operator import JobHeader, TrackInfo
from trackfarm_scheduler.db.tables import AttemptRow

EXAMPLES = Path(__file__).parents[2] / "examples"
CODECS = {"mp3": "mp3", "wav": "pcm_s16le", "flac": "flac", "opus": "opus"}


@pytest.fixture(scope="module")
def farm(shared_farm: LocalFarm) -> LocalFarm:
    return shared_farm


@pytest.fixture(scope="module")
def job_id(farm: LocalFarm) -> str:
    job_id = str(submitted(farm, EXAMPLES / "tasks.yaml")["job"]["id"])
    wait_until_done(farm, job_id, timeout_s=120)
    return job_id


def submitted(farm: LocalFarm, catalog: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "trackfarm.cli", "submit", str(catalog), "--json"]
    result = subprocess.run(command, env=farm.environment(), capture_output=True, check=True)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def wanted() -> list[Brief]:
    rows = open_catalog(EXAMPLES / "tasks.yaml").rows()
    return [row.outcome for row in rows if isinstance(row.outcome, Brief)]


def downloaded(track: TrackInfo, folder: Path, judge: str) -> AudioFile:
    assert track.url
    path = folder / f"track.{track.audio_format}"
    path.write_bytes(httpx.get(track.url, timeout=30).raise_for_status().content)
    return judged(judge, path)


def loudness(track: TrackInfo, folder: Path) -> float:
    """Return the loudness in LUFS, measured by FFmpeg's filter (EBU R 128, which is BS.1770)."""
    file = downloaded(track, folder, "pyav")
    return lufs(np.asarray(file.samples / 32_768, dtype=np.float32), file.rate)


def test_example_catalog_has_every_task_and_every_format() -> None:
    briefs = wanted()
    assert {b.task_type for b in briefs} == {
        "text2music", "cover", "cover-nofsq", "repaint", "extract", "lego", "complete"
    }  # fmt: skip
    assert {b.audio_format for b in briefs} == set(CODECS)
    assert any(b.audio_code_string for b in briefs)
    assert any(b.reference_audio for b in briefs)


@pytest.mark.parametrize("judge", JUDGES)
def test_each_task_becomes_a_tagged_file(
    farm: LocalFarm, job_id: str, tmp_path: Path, judge: str
) -> None:
    tracks = list(farm.client.tracks(job_id))
    assert [track.name for track in tracks] == [brief.name for brief in wanted()]
    for track, brief in zip(tracks, wanted(), strict=True):
        assert_audio_matches(track)
        file = downloaded(track, tmp_path, judge)
        assert file.codec == CODECS[track.audio_format]
        assert (file.rate, file.channels) == (48_000, 2)
        assert file.seconds == pytest.approx(10, abs=0.06)
        texts = file.tags
        assert track.artifact
        assert texts["title"] == (brief.title or brief.name)
        assert texts["comment"] == brief.prompt
        assert texts["seed"] == str(track.artifact.seed)
        assert (texts["model_set"], texts["job"]) == ("tiny", job_id)
        assert "Noise" in texts["copyright"]
        assert -60 < track.artifact.measurements["lufs"] < 0
    assert_computed_once(farm, job_id)
    assert_made_exactly_once(farm, job_id)


def test_loudness_of_a_track_is_that_of_its_brief(
    farm: LocalFarm, job_id: str, tmp_path: Path
) -> None:
    """Measure finished files with FFmpeg's meter instead of the engine's own."""
    (brief,) = [brief for brief in wanted() if brief.loudness_lufs is not None]
    heard = {t.name: loudness(t, tmp_path) for t in farm.client.tracks(job_id)}
    assert brief.name
    assert heard.pop(brief.name) == pytest.approx(brief.loudness_lufs, abs=0.2)
    assert min(heard.values()) > -20


def test_fetch_time_is_counted_only_for_tracks_with_sources(farm: LocalFarm, job_id: str) -> None:
    ids = {track.name: track.id for track in farm.client.tracks(job_id)}
    attempts = farm.database.rows(AttemptRow, col(AttemptRow.track_id).in_(ids.values()))
    fetched = {a.track_id: json.loads(a.timings)["fetch"] for a in attempts if a.state == "done"}
    assert fetched[ids["from-words"]] == fetched[ids["from-codes"]] == 0
    assert fetched[ids["cover"]] > 0
    assert fetched[ids["with-a-timbre"]] > 0


def test_source_files_under_other_names_are_the_same_catalog(
    farm: LocalFarm, job_id: str, tmp_path: Path
) -> None:
    text = (EXAMPLES / "tasks.yaml").read_text()
    for name in ("melody", "harp"):
        shutil.copy(EXAMPLES / "audio" / f"{name}.opus", tmp_path / f"my {name}.ogg")
        text = text.replace(f"audio/{name}.opus", f"my {name}.ogg")
    (tmp_path / "tasks.yaml").write_text(text)
    answer = submitted(farm, tmp_path / "tasks.yaml")
    assert (answer["job"]["id"], answer["already_submitted"]) == (job_id, True)


def test_finished_track_can_be_a_source(farm: LocalFarm, job_id: str) -> None:
    first = next(farm.client.tracks(job_id))
    assert first.artifact
    again = Brief(
        prompt="the same once more",
        duration=10,
        task_type="cover",
        src_audio=f"object:{first.artifact.object_key}",
        audio_format="wav",
    )
    answer = farm.client.submit(JobHeader(catalog="next", model_set="tiny"), [again])
    wait_until_done(farm, answer.job.id)


def test_bad_source_fails_only_its_own_track(farm: LocalFarm, tmp_path: Path) -> None:
    (tmp_path / "words.mp3").write_text("just words " * 100)
    with serve_folder(tmp_path) as host:
        cover = {"prompt": "x", "duration": 10, "task_type": "cover"}
        briefs = [
            Brief.model_validate(cover | {"src_audio": f"{host.url}words.mp3", "name": "words"}),
            Brief.model_validate(cover | {"src_audio": f"{host.url}gone.mp3", "name": "gone"}),
            Brief(prompt="good", duration=10, name="good"),
        ]
        job = farm.client.submit(JobHeader(catalog="bad-sources", model_set="tiny"), briefs).job
        wait_until(lambda: farm.client.job(job.id).state.ended, timeout_s=60, what="it ends")
        states = {track.name: track for track in farm.client.tracks(job.id)}
    assert {name: track.state for name, track in states.items()} == {
        "words": "failed",
        "gone": "failed",
        "good": "done",
    }
    assert "not an audio file" in states["words"].error
    assert "HTTP 404" in states["gone"].error
    assert states["words"].attempts == 1, "no other worker would like it better"
