"""`export` with real files over real HTTP."""

import csv
import json
from pathlib import Path

import pytest

from tests.common.cli.command_line import Trackfarm
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.protocol.operator import JobState, TrackCounts
from trackfarm.sdk.listing_files import MANIFEST

CONTENTS = [f"audio {n}".encode() * 1_000 for n in range(12)]


@pytest.fixture
def target(tmp_path: Path, farm: FarmState) -> Path:
    done = TrackCounts(done=len(CONTENTS))
    farm.add_job(make_job(state=JobState.DONE, tracks=done), CONTENTS)
    return tmp_path / "tracks"


def test_export_writes_files_manifest_and_playlist(target: Path, trackfarm: Trackfarm) -> None:
    result = trackfarm("export", target)
    assert result.exit_code == 0, result.output
    with (target / MANIFEST).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(target / row["file"]).read_bytes() for row in rows] == CONTENTS
    assert rows[3]["file"] == "00004-lobby 4.wav"
    assert json.loads(rows[3]["tags"]) == {"zone": "lobby"}
    songs = (target / "hotel.m3u").read_text().splitlines()
    assert songs[:3] == ["#EXTM3U", "#EXTINF:10,lobby 1", "00001-lobby 1.wav"]
    page = (target / "listen.html").read_text("utf-8")
    assert page.count("<audio controls") == len(CONTENTS)
    assert f"players {target}/listen.html" in result.stdout
    assert not list(target.glob("*.part")) + list(target.glob(".*.part"))


def test_export_refuses_a_path_as_a_job(target: Path, trackfarm: Trackfarm) -> None:
    result = trackfarm("export", "./t2", "nosuch")
    assert result.exit_code == 2
    assert "there is no job ./t2; the job comes first" in result.stderr
    assert trackfarm("show", "a/b").exit_code == 4
    assert "there is no job a/b; `trackfarm jobs` lists them" in trackfarm("show", "a/b").stderr


def test_export_skips_files_already_there(
    target: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    trackfarm("export", target)
    farm.downloads.clear()
    (target / "00001-lobby 1.wav").unlink()
    (target / "00002-lobby 2.wav").write_bytes(b"broken")
    report = json.loads(trackfarm("export", target, "--json").stdout)
    assert (report["fetched"], report["kept"], report["failed"]) == (2, 10, {})
    assert len(farm.downloads) == 2
    assert (target / "00002-lobby 2.wav").read_bytes() == CONTENTS[1]


def test_export_renews_an_expired_url(target: Path, farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.expired = {f"tracks/{n:032x}/lease.wav" for n in (1, 7)}
    result = trackfarm("export", "job_aaaa", target)
    assert result.exit_code == 0, result.output
    assert len(farm.downloads) == len(CONTENTS)


def test_export_keeps_no_file_with_the_wrong_digest(
    target: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    farm.objects[f"tracks/{4:032x}/lease.wav"] = b"something else"
    result = trackfarm("export", target)
    assert result.exit_code == 1
    assert "00004-lobby 4.wav: the file's SHA-256 is" in result.stderr
    assert len(list(target.glob("*.wav"))) == len(CONTENTS) - 1
    assert "00004" not in (target / MANIFEST).read_text()


def test_export_refuses_the_directory_of_another_catalog(
    target: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    trackfarm("export", target)
    before = sorted(target.iterdir())
    farm.add_job(make_job("job_bbbb0002", catalog="spa"), [b"other"])
    result = trackfarm("export", "job_bbbb0002", target)
    assert result.exit_code == 2
    assert "hotel" in result.stderr
    assert sorted(target.iterdir()) == before


def test_export_names_a_directory_that_cannot_be_made(target: Path, trackfarm: Trackfarm) -> None:
    target.write_text("a file in the way")
    result = trackfarm("export", target)
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_export_watch_waits_for_the_job(
    target: Path, farm: FarmState, trackfarm: Trackfarm
) -> None:
    last = farm.jobs["job_aaaa0001"]
    farm.jobs["job_aaaa0001"] = make_job()
    farm.script["job_aaaa0001"] = [make_job(), last]
    result = trackfarm("export", target, "--watch")
    assert result.exit_code == 0, result.output
    assert "12 of 12 done" in result.stdout
    assert len(list(target.glob("*.wav"))) == 12
