"""Event reader: the texts of recorded events for subscribers to jobs and to owners."""

import json

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.events import reader


def data_of(text: bytes) -> dict[str, object]:
    (line,) = [line for line in text.decode().splitlines() if line.startswith("data: ")]
    data: dict[str, object] = json.loads(line.removeprefix("data: "))
    return data


def test_reader_names_a_shared_track_as_each_job_does(farm: FarmFixture) -> None:
    first = farm.submit(briefs(2)).job_id
    second = farm.submit(briefs(3)[1:]).job_id
    worker = farm.join()
    shared = farm.track_ids(first)[1]
    farm.finish(worker, farm.lease(worker, first, [shared]))
    with farm.database.read() as session:
        messages = reader.read(session, after=0, limit=100)
        assert messages[-1].number == reader.newest(session)
    (done,) = [m for m in messages if set(m.by_job) == {first, second}]
    assert (done.owner, done.whole) == ("operator", done.by_job[first])
    ordinals = {job: data_of(text)["ordinal"] for job, text in done.by_job.items()}
    assert ordinals == {first: 2, second: 1}
    assert done.changed_jobs == {first, second}


def test_reader_replays_the_events_of_one_job_only(farm: FarmFixture) -> None:
    first, second = (farm.submit(briefs(1, word=w), catalog=w).job_id for w in ("a", "b"))
    for job_id in (first, second):
        farm.change(job_id, jobs.cancel)
    with farm.database.read() as session:
        newest = reader.newest(session)
        messages = reader.replay(
            session, after=0, until=newest, limit=100, job=first, owner="operator"
        )
        strangers = reader.replay(
            session, after=0, until=newest, limit=100, job=None, owner="stranger"
        )
    assert {job for message in messages for job in message.by_job} == {first}
    assert data_of(messages[-1].by_job[first])["state"] == "cancelled"
    assert strangers == []


def test_progress_counts_the_tracks_of_a_job(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    with farm.database.read() as session:
        text = reader.progress(session, job_id)
        assert reader.progress(session, "job_none") is None
    assert text is not None
    facts = data_of(text)
    assert (facts["job_id"], facts["state"], facts["audio_seconds"]) == (job_id, "accepted", 20.0)
