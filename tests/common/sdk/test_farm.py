"""The SDK over real HTTP, blocking and with asyncio."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm import AsyncFarm, Catalog, CatalogError, Farm, FarmUnreachable, RequestRefused
from trackfarm.client import DownloadFailed, UnsafeAddress
from trackfarm.protocol.operator import JobState, TrackCounts
from trackfarm.sdk.job import Job, StillRunning
from trackfarm.settings import ClientSettingsError

CONTENTS = [f"audio {n}".encode() * 500 for n in range(11)]
ROWS = [{"prompt": f"piano {n}", "duration": 30} for n in range(3)]


@pytest.fixture
def job(server: FarmState, farm: Farm) -> Job:
    """A job that has ended, with files."""
    done = TrackCounts(done=len(CONTENTS))
    server.add_job(make_job(state=JobState.DONE, tracks=done), CONTENTS)
    return farm.job("job_aaaa")


def test_async_farm_has_the_same_calls(server: FarmState, tmp_path: Path) -> None:
    source = tmp_path / "song.flac"
    source.write_bytes(b"music" * 30_000)
    rows = [*ROWS, ROWS[0] | {"task_type": "cover", "src_audio": "song.flac"}]
    catalog = Catalog.from_rows(rows, name="hotel", folder=tmp_path)
    running = make_job(state=JobState.RUNNING)
    ended = make_job(state=JobState.DONE, tracks=TrackCounts(done=len(CONTENTS)))
    states: list[JobState] = []

    async def scenario() -> list[Path]:
        async with AsyncFarm(server.url, API_KEY) as farm:
            name = await farm.upload(source)
            job = await farm.submit(catalog, budget=3.5)
            server.add_job(running, CONTENTS)
            server.script[job.id] = [running, ended]
            job = await job.wait(progress=lambda now: states.append(now.state), every=0.01)
            report = await job.download(tmp_path / "all")
            assert (report.fetched, report.failed) == (len(CONTENTS), {})
            assert (await farm.jobs())[0].id == job.id
            assert server.submissions[0][1][3].src_audio == name
            return [await track.download(tmp_path) async for track in job.tracks(state="done")]

    files = asyncio.run(scenario())
    assert [file.read_bytes() for file in files] == CONTENTS
    assert states == [JobState.RUNNING, JobState.DONE]
    assert server.submissions[0][0].budget == 3.5


@pytest.mark.parametrize("option", [{"budget": 0}, {"priority": 200}, {"name": "a\x07bell"}])
def test_submit_with_an_invalid_option_sends_nothing(
    server: FarmState, farm: Farm, tmp_path: Path, option: dict[str, Any]
) -> None:
    (tmp_path / "song.flac").write_bytes(b"music")
    row = ROWS[0] | {"task_type": "cover", "src_audio": "song.flac"}
    with pytest.raises(ValueError, match=r"catalog|budget|priority"):
        farm.submit(Catalog.from_rows([row], name="hotel", folder=tmp_path), **option)
    assert not server.uploads
    assert not server.submissions


def test_wait_blocks_until_the_end_and_prints_progress(
    server: FarmState, farm: Farm, capsys: pytest.CaptureFixture[str]
) -> None:
    job = farm.submit(Catalog.from_rows(ROWS, name="hotel"))
    server.script[job.id] = [make_job(state=JobState.RUNNING), make_job(state=JobState.FAILED)]
    assert job.wait(progress=True, every=0.01).state is JobState.FAILED
    assert job.state is JobState.RUNNING, "an earlier Job object does not change"
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["running", "failed"]


def test_wait_times_out_and_the_job_can_be_cancelled(farm: Farm) -> None:
    job = farm.submit(Catalog.from_rows(ROWS, name="hotel"))
    with pytest.raises(StillRunning, match="is running"):
        job.wait(timeout=0, every=0.01)
    assert job.cancel().state is JobState.CANCELLED


def test_download_is_complete_and_skips_files_already_there(
    server: FarmState, job: Job, tmp_path: Path
) -> None:
    track = next(job.tracks())
    server.expired = {track.record.artifact.object_key} if track.record.artifact else set()
    path = next(job.tracks()).download(tmp_path / "first.wav")
    assert path.read_bytes() == CONTENTS[0]
    assert job.download(tmp_path / "all").fetched == len(CONTENTS)
    server.downloads.clear()
    (tmp_path / "all" / track.file_name).write_bytes(b"broken" + CONTENTS[0][6:])
    again = job.download(tmp_path / "all")
    assert (again.fetched, again.kept, len(server.downloads)) == (1, len(CONTENTS) - 1, 1)


def test_download_with_the_wrong_digest_is_not_kept(
    server: FarmState, job: Job, tmp_path: Path
) -> None:
    track = next(job.tracks())
    server.objects = dict.fromkeys(server.objects, b"something else")
    with pytest.raises(DownloadFailed, match="SHA-256"):
        track.download(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [429, 409, 500, 503])
def test_submit_is_retried_with_its_idempotency_key(
    server: FarmState, farm: Farm, status: int
) -> None:
    server.outages = [status, status]
    farm.submit(Catalog.from_rows(ROWS, name="hotel"))
    farm.submit(Catalog.from_rows(ROWS, name="hotel"), idempotency_key="my-own")
    assert len(server.submissions) == 2
    assert server.idempotency_keys[-1] == "my-own"
    assert len(set(server.idempotency_keys)) == 2


def test_lasting_failures_are_refusals_or_no_farm(server: FarmState) -> None:
    with Farm(server.url, API_KEY, retry_seconds=0) as hasty:
        for status, kind in ((429, RequestRefused), (500, RequestRefused), (503, FarmUnreachable)):
            server.outages = [status]
            with pytest.raises(kind):
                hasty.jobs()


def test_refusals_name_row_and_field(server: FarmState, farm: Farm) -> None:
    server.bad_briefs = [{"row": 2, "field": "duration", "message": "is too long; write less"}]
    with pytest.raises(
        RequestRefused, match="row: 2, field: duration, message: is too long; write less"
    ):
        farm.submit(Catalog.from_rows(ROWS, name="hotel"))


def test_submit_of_a_wrong_catalog_sends_nothing(
    server: FarmState, farm: Farm, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("prompt,duration\na,5\nb,30\nc,nine\n")
    with pytest.raises(CatalogError) as raised:
        farm.submit(tmp_path / "x.csv")
    assert [problem.row for problem in raised.value.problems] == [2, 4]
    assert server.submissions == []


def test_farm_finds_its_address_and_key(
    server: FarmState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_HOME", str(tmp_path))
    monkeypatch.delenv("TRACKFARM_URL", raising=False)
    monkeypatch.delenv("TRACKFARM_API_KEY", raising=False)
    with pytest.raises(ClientSettingsError, match="trackfarm up"):
        Farm()
    with pytest.raises(ClientSettingsError, match="TRACKFARM_API_KEY"):
        Farm(server.url)
    with pytest.raises(UnsafeAddress, match=r"https://farm\.example"):
        Farm("http://farm.example", "key")
    monkeypatch.setenv("TRACKFARM_URL", server.url)
    monkeypatch.setenv("TRACKFARM_API_KEY", API_KEY)
    with Farm() as farm:
        assert farm.status().version == "1.2.3"
