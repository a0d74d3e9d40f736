"""The blocking driver: steps are executed in order, errors reach the call."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.client import DownloadFailed, FarmUnreachable
from trackfarm.client.connection import Connection
from trackfarm.client.sansio import (
    Gather,
    OpenStream,
    Pause,
    ReadLine,
    Request,
    RunInThread,
    Save,
    Steps,
)
from trackfarm.client.sync_driver import SyncDriver


@pytest.fixture
def driver(farm: FarmState) -> Iterator[SyncDriver]:
    driver = SyncDriver(Connection(farm.url, API_KEY, retry_seconds=0))
    yield driver
    driver.close()


def test_gather_runs_calls_at_once_and_keeps_their_order(driver: SyncDriver) -> None:
    meeting = threading.Barrier(3, timeout=10)

    def each(number: int) -> Steps[int]:
        yield RunInThread(meeting.wait)
        return number

    def all_of_them() -> Steps[list[int]]:
        results: list[int] = yield Gather([each(n) for n in range(6)], 3)
        return results

    assert driver.run(all_of_them()) == [0, 1, 2, 3, 4, 5]


def test_gather_raises_the_error_of_a_call(driver: SyncDriver) -> None:
    def failing() -> Steps[None]:
        yield Pause(0)
        raise OSError("disk full")

    def all_of_them() -> Steps[None]:
        yield Gather([failing(), failing()], 2)

    with pytest.raises(OSError, match="disk full"):
        driver.run(all_of_them())


def test_run_passes_the_error_of_a_step_to_the_call(driver: SyncDriver) -> None:
    def divide() -> Steps[str]:
        try:
            yield RunInThread(lambda: 1 // 0)
        except ZeroDivisionError as error:
            return str(error)
        return "no error"

    assert "by zero" in driver.run(divide())


def test_read_line_reads_the_open_stream_to_its_end(farm: FarmState, driver: SyncDriver) -> None:
    farm.add_job(make_job())
    farm.streams = [["event: job", "data: {}", ""]]
    request = Request(
        method="GET",
        url="/api/v1/jobs/job_aaaa0001/events",
        headers={"Last-Event-ID": "0"},
    )

    def lines() -> Steps[list[str]]:
        line = yield OpenStream(request)
        result = []
        while line is not None:
            result.append(line)
            line = yield ReadLine()
        return result

    assert driver.run(lines()) == ["event: job", "data: {}"]


def test_save_of_a_refused_url_is_a_failed_download(
    farm: FarmState, driver: SyncDriver, tmp_path: Path
) -> None:
    def save() -> Steps[None]:
        yield Save(f"{farm.url}/objects/none?ticket=late", tmp_path / "song.mp3")

    with pytest.raises(DownloadFailed, match="the object store answered 403"):
        driver.run(save())


def test_open_stream_without_a_farm_is_unreachable() -> None:
    driver = SyncDriver(Connection("http://127.0.0.1:1", API_KEY, retry_seconds=0))

    def open_stream() -> Steps[None]:
        yield OpenStream(Request(method="GET", url="/x"))

    with pytest.raises(FarmUnreachable, match="no farm answers"):
        driver.run(open_stream())
    driver.close()
