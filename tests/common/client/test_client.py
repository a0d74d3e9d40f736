"""The client against a real HTTP server, and without any server."""

import socket
from collections.abc import Iterator

import pytest

from tests.common.fake_farm.server import API_KEY, serve
from tests.common.fake_farm.state import FarmState, make_job, make_worker
from trackfarm.catalog import Brief
from trackfarm.client import Client, FarmUnreachable, NotAFarm, RequestRefused
from trackfarm.client.requests import get
from trackfarm.protocol.operator import JobHeader, TrackState

HEADER = JobHeader(catalog="hotel")


def briefs(count: int) -> list[Brief]:
    return [Brief(prompt=f"piano {n}", duration=10, seed=n) for n in range(count)]


@pytest.fixture
def client(farm: FarmState) -> Iterator[Client]:
    with Client(farm.url, API_KEY, retry_seconds=5) as client:
        yield client


def test_submit_sends_a_large_submission_whole(farm: FarmState, client: Client) -> None:
    all_briefs = briefs(3_000)
    answer = client.submit(HEADER, iter(all_briefs))
    assert answer.job.tracks.total == 3_000
    assert farm.submissions == [(HEADER, all_briefs)]


def test_submit_again_reports_the_existing_job(client: Client) -> None:
    assert not client.submit(HEADER, briefs(2)).already_submitted
    assert client.submit(HEADER, briefs(2)).already_submitted


def test_job_is_retried_through_an_outage(farm: FarmState, client: Client) -> None:
    farm.add_job(make_job())
    farm.outages = [503, 502]
    assert client.job("job_aaaa").id == "job_aaaa0001"


def test_submit_is_retried_when_its_briefs_can_be_read_again(
    farm: FarmState, client: Client
) -> None:
    farm.outages = [503]
    client.submit(HEADER, briefs(2))
    assert [len(all_briefs) for _, all_briefs in farm.submissions] == [2]


def test_submit_of_an_iterator_is_not_retried(farm: FarmState, client: Client) -> None:
    farm.outages = [503]
    with pytest.raises(FarmUnreachable, match="503"):
        client.submit(HEADER, iter(briefs(2)))
    assert farm.submissions == []


def test_pause_is_not_retried_once_sent(farm: FarmState, client: Client) -> None:
    farm.add_job(make_job())
    farm.outages = [503]
    with pytest.raises(FarmUnreachable):
        client.pause("job_aaaa0001")
    assert farm.outages == []


def test_client_without_a_farm_names_address_and_remedy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with Client(url, API_KEY, retry_seconds=0) as client:
            assert not client.is_healthy()
            with pytest.raises(FarmUnreachable, match="trackfarm up") as raised:
                client.jobs()
    assert url in str(raised.value)


def test_refusal_carries_the_problem(farm: FarmState, client: Client) -> None:
    farm.bad_briefs = [{"line": 2, "wrong": "too short"}]
    with pytest.raises(RequestRefused) as raised:
        client.submit(HEADER, briefs(1))
    assert raised.value.problem.status == 422
    assert raised.value.problem.errors == [{"line": 2, "wrong": "too short"}]


def test_client_with_the_wrong_key_is_refused(farm: FarmState) -> None:
    with Client(farm.url, "not-the-key") as client, pytest.raises(RequestRefused) as raised:
        client.jobs()
    assert raised.value.problem.status == 401


def test_job_id_cannot_leave_its_place_in_the_path(client: Client) -> None:
    with pytest.raises(RequestRefused):
        client.job("../workers")


def test_client_recognises_another_kind_of_server(farm: FarmState, client: Client) -> None:
    farm.workers = [make_worker("a")]
    with pytest.raises(NotAFarm, match="same version"):
        client.driver.run(get(list[str], "workers"))


def test_tracks_come_page_by_page_in_order(farm: FarmState, client: Client) -> None:
    job = farm.add_job(make_job(), [b"x"] * 2_050)
    ordinals = [track.ordinal for track in client.tracks(job.id, state=TrackState.DONE)]
    assert ordinals == list(range(1, 2_051))


def test_client_reconnects_to_a_restarted_server() -> None:
    state = FarmState()
    state.add_job(make_job())
    with serve(state) as first:
        port = int(first.url.rsplit(":", 1)[1])
        client = Client(first.url, API_KEY, retry_seconds=10)
        assert client.jobs()
    with serve(state, port=port), client:
        assert client.jobs()
