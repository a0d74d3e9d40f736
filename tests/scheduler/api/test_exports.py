"""Export of a job as an archive, a table and a playlist."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from zipfile import ZIP_STORED, ZipFile

import httpx
import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, bearer, create_key, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.listings import cell
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db.tables import ArtifactRow, TrackRow
from trackfarm_scheduler.exports import tracks
from trackfarm_scheduler.exports.tracks import MISSING, TrackRange
from trackfarm_scheduler.exports.zip_stream import Member, zip_of
from trackfarm_scheduler.views import at

MIB = 2**20


@pytest.fixture
def job(api: ApiFixture) -> str:
    """A job of three tracks, two of them done."""
    names = ["=SUM(A1)", "-calm", "piano"]
    wanted = [b for name in names for b in briefs(1, word=name, name=name, tags={"zone": "spa"})]
    job_id = api.farm.submit(wanted, catalog="=spa/1").job_id
    worker = api.farm.join()
    offer = api.farm.lease(worker, job_id)
    done = [api.farm.upload(offer, i, b"%05d" % i * 4000) for i in api.farm.track_ids(job_id)[:2]]
    api.farm.report(worker, offer, done=done)
    return job_id


def opened(answer: httpx.Response) -> ZipFile:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return ZipFile(io.BytesIO(answer.content))


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_archive_has_finished_tracks_and_a_manifest(api: ApiFixture, job: str) -> None:
    archive = opened(api.get(f"jobs/{job}/artifacts.zip"))
    assert archive.testzip() is None
    assert {info.compress_type for info in archive.infolist()} == {ZIP_STORED}
    first, second, manifest = archive.namelist()
    assert (first[:6], second, manifest) == ("00001-", "00002-calm.mp3", "manifest.csv")
    stored = {a.track_id: a for a in api.farm.artifacts()}
    for name, track_id in zip((first, second), api.farm.track_ids(job)[:2], strict=True):
        content = api.farm.objects.content[stored[track_id].object_key]
        assert archive.read(name) == content
    rows = table(archive.read(manifest).decode())
    assert [r["file"] for r in rows] == [first, second]
    assert [r["name"] for r in rows] == ["'=SUM(A1)", "'-calm"]
    assert [r["sha256"] for r in rows] == [stored[i].sha256 for i in api.farm.track_ids(job)[:2]]


def test_archive_continues_by_ordinals_and_refuses_ranges(api: ApiFixture, job: str) -> None:
    part = opened(api.get(f"jobs/{job}/artifacts.zip", first=2))
    assert part.namelist() == ["00002-calm.mp3", "manifest.csv"]
    assert len(opened(api.get(f"jobs/{job}/artifacts.zip", last=1)).namelist()) == 2
    backwards = problem(api.get(f"jobs/{job}/artifacts.zip", first=9, last=4), 422)
    assert backwards["errors"][0]["field"] == "query.last"
    headers = {**bearer(API_KEY), "Range": "bytes=1000-"}
    refused = api.http.get(f"/api/v1/jobs/{job}/artifacts.zip", headers=headers)
    assert "first" in problem(refused, 416)["detail"]


def test_archive_names_missing_files_and_has_the_rest(api: ApiFixture, job: str) -> None:
    first = api.farm.track_ids(job)[0]
    key = next(a.object_key for a in api.farm.artifacts() if a.track_id == first)
    del api.farm.objects.content[key]
    archive = opened(api.get(f"jobs/{job}/artifacts.zip"))
    assert archive.read(MISSING).startswith(b"00001-")
    assert [r["ordinal"] for r in table(archive.read("manifest.csv").decode())] == ["2"]


def test_archive_of_too_many_tracks_is_refused(
    api: ApiFixture, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "MAX_TRACKS", 2)
    assert "?first=" in problem(api.get(f"jobs/{job}/artifacts.zip"), 422)["detail"]
    assert len(opened(api.get(f"jobs/{job}/artifacts.zip", first=2)).namelist()) == 2
    assert len(opened(api.get(f"jobs/{job}/artifacts.zip", last=2)).namelist()) == 3


def test_archive_manifest_leaves_out_tracks_finished_meanwhile(api: ApiFixture, job: str) -> None:
    farm = api.farm
    made = tracks.archive(farm.database, farm.objects, TrackRange(job, 3))
    parts = [next(made)]
    with farm.database.write() as session:
        late = session.get_one(TrackRow, farm.track_ids(job)[2])
        artifact = session.get_one(ArtifactRow, farm.track_ids(job)[0])
        kept = late.state
        late.state = TrackState.DONE
        copied = artifact.model_dump() | {"track_id": late.id, "object_key": "late"}
        session.add(ArtifactRow(**copied))
    parts += made
    with farm.database.write() as session:
        session.get_one(TrackRow, late.id).state = kept
        session.delete(session.get_one(ArtifactRow, late.id))
    archive = ZipFile(io.BytesIO(b"".join(parts)))
    rows = table(archive.read("manifest.csv").decode())
    assert [r["file"] for r in rows] == archive.namelist()[:2]


def test_archive_memory_per_file_is_bounded() -> None:
    number = 4000
    members = (Member(f"{n:07}-{'x' * 40}.mp3", at(1e9), [b"x"]) for n in range(number))
    tracemalloc.start()
    try:
        for _ in zip_of(members):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / number < 800


def test_table_has_all_tracks_and_no_formulas(api: ApiFixture, job: str) -> None:
    answer = api.get(f"jobs/{job}/tracks.csv")
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''spa-1.csv"
    rows = table(answer.text)
    assert [(r["ordinal"], r["state"]) for r in rows] == [
        ("1", "done"),
        ("2", "done"),
        ("3", "leased"),
    ]
    assert rows[0]["prompt"].startswith("'=SUM")
    assert rows[2]["file"] == ""
    assert [cell(text) for text in ("+1", "@x", "a=1", "")] == ["'+1", "'@x", "a=1", ""]


def test_playlist_has_urls_of_finished_tracks(api: ApiFixture, job: str) -> None:
    lines = api.get(f"jobs/{job}/tracks.m3u").text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[3] == "#EXTINF:10,-calm"
    assert [line[:13] for line in lines[2::2]] == ["memory://get/"] * 2
    stranger = create_key(api, "stranger").secret
    for kind in ("artifacts.zip", "tracks.csv", "tracks.m3u"):
        problem(api.get(f"jobs/{job}/{kind}", key=stranger), 404)


def test_archive_of_a_large_job_is_never_held_in_memory(
    api: ApiFixture, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first bytes are sent before the last file is read."""
    chunk, read = b"\0" * MIB, 0

    @contextmanager
    def endless(_key: str) -> Iterator[Iterator[bytes]]:
        def chunks() -> Iterator[bytes]:
            nonlocal read
            for _ in range(100):
                read += 1
                yield chunk

        yield chunks()

    monkeypatch.setattr(api.farm.objects, "open", endless)
    tracemalloc.start()
    try:
        with api.http.stream(
            "GET", f"/api/v1/jobs/{job}/artifacts.zip", headers=bearer(API_KEY)
        ) as answer:
            parts = answer.iter_raw()
            beginning = len(next(parts))
            assert read < 100, "the server waits for the client"
            total = beginning + sum(map(len, parts))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 200 * MIB
    assert peak < 30 * MIB


def test_downloads_of_a_key_are_limited_to_two(
    api: ApiFixture, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def endless(_key: str) -> Iterator[Iterator[bytes]]:
        yield iter(lambda: b"\0" * MIB, b"")

    monkeypatch.setattr(api.farm.objects, "open", endless)
    path, headers = f"/api/v1/jobs/{job}/artifacts.zip", bearer(API_KEY)
    with api.http.stream("GET", path, headers=headers) as one:
        first = one.iter_raw()
        next(first)
        with api.http.stream("GET", path, headers=headers) as two:
            second = two.iter_raw()
            next(second)
            refused = api.http.get(path, headers=headers)
            problem(refused, 429)
            assert refused.headers["retry-after"]
            assert api.get("status").elapsed.total_seconds() < 5, "others are served"


@pytest.mark.soak
def test_archive_of_more_than_65535_files_is_whole() -> None:
    parts = list(zip_of([Member(f"{n}.mp3", at(1e9), [b"x"]) for n in range(70_000)]))
    archive = ZipFile(io.BytesIO(b"".join(parts)))
    assert len(archive.namelist()) == 70_000
    assert archive.read("69999.mp3") == b"x"
