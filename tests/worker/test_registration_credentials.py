"""A restarted worker settles the unfinished business of the killed one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import free_port
from tests.servers.scripted_http import Reply, ScriptedServer, scripted_server
from tests.worker.shards import LEASE, SHARD, done, verdicts
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.registration import Credentials, save, settle_past


@pytest.fixture
def scheduler() -> Iterator[ScriptedServer]:
    with scripted_server() as made:
        made.reply_with(Reply(body=verdicts(1)))
        yield made


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.db")
    made.put(SHARD, LEASE, done(1))
    yield made
    made.close()


def left(path: Path, url: str) -> Path:
    save(path, Credentials(scheduler_url=url, worker_id="worker_0001", token="past"))
    return path


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = left(tmp_path / "credentials.json", "http://there")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["credentials.json"]
    left(path, "http://elsewhere")
    assert Credentials.model_validate_json(path.read_text()).scheduler_url == "http://elsewhere"


def test_what_was_finished_is_delivered_and_the_past_takes_its_leave(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox
) -> None:
    path = left(tmp_path / "credentials.json", scheduler.url)
    past = settle_past(path, outbox, scheduler.url)
    assert scheduler.paths() == [f"/worker/v1/shards/{SHARD}/report", "/worker/v1/leave"]
    headers = scheduler.requests[0].headers
    assert headers["authorization"] == "Bearer past"
    assert outbox.next_parcel() is None
    # A successor may register with its token, so it is kept until there is one.
    assert past is not None
    assert past.token == "past"
    assert path.exists()


@pytest.mark.parametrize("answer", [Reply(503), Reply(401), Reply(0)])
def test_whatever_the_scheduler_says_the_worker_starts_afresh(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox, answer: Reply
) -> None:
    scheduler.reply_with(answer)
    path = left(tmp_path / "credentials.json", scheduler.url)
    assert settle_past(path, outbox, scheduler.url) is not None
    assert outbox.next_parcel() is None


def test_another_farms_past_is_not_told(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox
) -> None:
    path = left(tmp_path / "credentials.json", f"http://127.0.0.1:{free_port()}")
    assert settle_past(path, outbox, scheduler.url) is None
    assert scheduler.requests == []
    assert outbox.next_parcel() is None
    assert not path.exists()


@pytest.mark.parametrize("text", [None, "", "{}", "not json"])
def test_no_past_is_no_error(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox, text: str | None
) -> None:
    path = tmp_path / "credentials.json"
    if text is not None:
        path.write_text(text)
    assert settle_past(path, outbox, scheduler.url) is None
    assert scheduler.requests == []
    assert outbox.next_parcel() is None
