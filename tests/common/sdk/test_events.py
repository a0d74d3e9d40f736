"""Event streams: each event once, resumed after breaks at the farm's event ids."""

import asyncio

import pytest

from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm import AsyncFarm, Farm, RequestRefused
from trackfarm.protocol.operator import JobState

PROGRESS = ["event: progress", 'data: {"state":"running"}', ""]
TRACKS = [
    line
    for n in (1, 2)
    for line in (f"id: {n}", "event: track", f'data: {{"ordinal":{n},', 'data: "state":"done"}', "")
]
END = ["id: 3", "event: job", 'data: {"state":"done"}', "", ""]


def test_stream_events_resumes_a_broken_stream(server: FarmState, farm: Farm) -> None:
    job = farm.job(server.add_job(make_job()).id)
    server.streams = [[*PROGRESS, ": still here", *TRACKS, "id: 9", "data: {"], [*PROGRESS, *END]]
    server.script[job.id] = [make_job(state=JobState.DONE)]
    events = list(job.events())
    assert [(event.kind, event.id) for event in events] == [
        ("progress", None),
        ("track", "1"),
        ("track", "2"),
        ("progress", None),
        ("job", "3"),
    ]
    assert events[1].data == {"ordinal": 1, "state": "done"}
    assert server.resumed_behind == ["0", "2"]


def test_stream_events_does_not_end_with_an_old_end(server: FarmState) -> None:
    """An old end event of a retried job: the client checks the job's current state."""
    job_id = server.add_job(make_job()).id
    again = [line.replace("3", "4") for line in END]
    server.streams = [[*END[:-1], *again]]
    server.script[job_id] = [make_job(), make_job(), make_job(state=JobState.DONE)]

    async def scenario() -> list[str | None]:
        async with AsyncFarm(server.url, API_KEY) as farm:
            job = await farm.job(job_id)
            return [event.id async for event in job.events(after="2")]

    assert asyncio.run(scenario()) == ["3", "4"]


def test_stream_events_of_an_ended_job_ends_at_the_first_heartbeat(
    server: FarmState, farm: Farm
) -> None:
    job = farm.job(server.add_job(make_job(state=JobState.DONE)).id)
    server.streams = [["event: progress", 'data: {"state":"done"}', "", ": still here", ""]]
    assert [event.kind for event in job.events(after="99")] == ["progress"]


def test_stream_events_of_an_unknown_job_is_refused(server: FarmState, farm: Farm) -> None:
    job = farm.job(server.add_job(make_job()).id)
    server.jobs.clear()
    with pytest.raises(RequestRefused, match="no job begins"):
        next(job.events())
