"""Invalid submissions are refused with every mistake, and leave the database unchanged."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.catalogs import briefs, fresh_name
from tests.end_to_end.farm import API_KEY, LocalFarm, running_farm
from tests.servers.process import wait_until
from trackfarm.client import RequestRefused
from trackfarm.protocol.operator import API_PREFIX, NDJSON, JobHeader
from trackfarm_scheduler.db.tables import JobRow, TrackRow

BAD_INPUT = 2
MISTAKES: dict[str, list[str | float]] = {
    "duration": [4.9, 600.5, "ten", -1],
    "bpm": [29, 301, "fast"],
    "audio_format": ["aac"],
    "time_signature": ["7/16"],
    "inference_steps": [0, 201],
    "variations": [0],
    "task_type": ["hum"],
    "seed": [2**32],
    "moood": ["calm"],
}


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    """Run a farm without workers, so that the database does not change."""
    with running_farm(request, tmp_path_factory) as running:
        yield running


def generated(folder: Path) -> Path:
    """Write a catalog of fifteen rows with one mistake each, between two valid rows."""
    good = {"prompt": "a good one", "duration": 12}
    wrong = [good | {field: value} for field, values in MISTAKES.items() for value in values]
    path = folder / f"{fresh_name('mistakes')}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [good, *wrong, good]))
    return path


def printed_problems(command: str, catalog: Path, farm: LocalFarm) -> tuple[int, str, str]:
    result = subprocess.run(
        [sys.executable, "-m", "trackfarm.cli", command, catalog],
        env={**farm.environment(), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("which", ["the example", "a generated one"])
def test_refusal_names_all_fifteen_mistakes(farm: LocalFarm, tmp_path: Path, which: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "catalogs" / "mistakes.csv"
    catalog = example if which == "the example" else generated(tmp_path)
    before = farm.database.dump()
    command = [sys.executable, "-m", "trackfarm.cli", "check", str(catalog), "--json"]
    checked = subprocess.run(command, capture_output=True, check=False)
    assert checked.returncode == BAD_INPUT
    problems = json.loads(checked.stdout)["problems"]
    rows = range(2, 17)
    assert [problem["row"] for problem in problems] == list(rows)
    assert all(problem["field"] and problem["remedy"] for problem in problems)

    code, _, complaints = printed_problems("submit", catalog, farm)
    assert code == BAD_INPUT
    for problem in problems:
        assert problem["text"] in complaints
    assert "15 mistakes" in complaints
    assert farm.database.dump() == before


def test_scheduler_refuses_mistakes_that_a_client_lets_through(farm: LocalFarm) -> None:
    before = farm.database.dump()

    class Anything:
        def __init__(self, row: dict[str, object]) -> None:
            self._row = row

        def model_dump_json(self, *, exclude_unset: bool) -> str:
            return json.dumps(self._row)

    good = {"prompt": "a good one", "duration": 12}
    rows = [Anything(good)] * 2_500 + [Anything(good | {"bpm": 1000})]
    with pytest.raises(RequestRefused) as refusal:
        farm.client.submit(JobHeader(catalog=fresh_name("refused"), model_set="tiny"), rows)
    assert [(e["row"], e["field"]) for e in refusal.value.problem.errors] == [(2_501, "bpm")]
    assert farm.database.dump() == before


@pytest.mark.parametrize("ending", ["the client goes away", "the scheduler is killed"])
def test_broken_upload_leaves_nothing(farm: LocalFarm, ending: str) -> None:
    before = farm.database.dump()
    header = JobHeader(catalog=fresh_name("broken"), model_set="tiny").model_dump_json()
    lines = [header, *(b.model_dump_json(exclude_unset=True) for b in briefs(2_500))]
    body = ("\n".join(lines) + "\n").encode()
    with begun_upload(farm, body):
        wait_until(
            lambda: bool(farm.database.rows(TrackRow)),
            timeout_s=10,
            what="the first part is stored",
        )
        assert len(farm.database.rows(JobRow)) == 1
        assert not farm.client.jobs()
        if ending == "the scheduler is killed":
            farm.kill_scheduler()
    if ending == "the scheduler is killed":
        farm.start_scheduler()
    wait_until(lambda: farm.database.dump() == before, timeout_s=30, what="it is all gone again")


def begun_upload(farm: LocalFarm, part: bytes) -> socket.socket:
    """Open a connection that has sent this part of a submission and announced more."""
    port = int(farm.url.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        f"POST {API_PREFIX}/jobs HTTP/1.1\r\nHost: farm\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Content-Type: {NDJSON}\r\nContent-Length: {2 * len(part)}\r\n\r\n".encode()
    )
    connection.sendall(part)
    return connection
