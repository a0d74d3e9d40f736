"""Registration: settle the previous session, join with its token or the invitation, never in clear
text."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.process import free_port
from tests.servers.scripted_http import (
    ReceivedRequest,
    Reply,
    ScriptedServer,
    scripted_server,
)
from tests.servers.tls import certificates
from tests.worker.shards import LEASE, SHARD, done, verdicts
from trackfarm.net.tls import pack_ca
from trackfarm.protocol.worker import Intervals, RegisterAnswer, RegisterRequest
from trackfarm.settings import ClientSettingsError
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.registration import (
    Credentials,
    Registration,
    refuse_unsafe_url,
    save_credentials,
    settings_with_ca_file,
    settle_previous_session,
)
from trackfarm_worker.scheduler_client import Unauthorized
from trackfarm_worker.settings import WorkerSettings

REQUEST = RegisterRequest(name="n", gpu="cpu", memory_mib=8_192, model_set="tiny")
VERIFIED_BROKER = "rediss://u:p@r.example:6380/0?ssl_cert_reqs=required"


def settings(url: str, **changes: object) -> WorkerSettings:
    values = {"scheduler_url": url, "join_token": "invited", "join_seconds": 1}
    return WorkerSettings.model_validate(values | changes)


def accept(broker_url: str) -> Reply:
    answer = RegisterAnswer(
        worker_id="worker_0002",
        token="new",
        queue="q",
        broker_url=broker_url,
        intervals=Intervals(heartbeat=1, lost_after=10),
    )
    return Reply(body=answer.model_dump_json().encode())


def accept_only(token: str) -> Callable[[ReceivedRequest], Reply]:
    """Return a scheduler that accepts one token."""

    def reply(request: ReceivedRequest) -> Reply:
        return accept("redis://u:p@127.0.0.1:1/0") if bearer(request) == token else Reply(401)

    return reply


def bearer(request: ReceivedRequest) -> str:
    headers = request.headers
    return headers["authorization"].removeprefix("Bearer ")


def previous(farm: ScriptedServer) -> Credentials:
    return Credentials(scheduler_url=farm.url, worker_id="worker_0001", token="previous")


@pytest.mark.parametrize(
    ("valid", "tokens"),
    [("previous", ["previous"]), ("invited", ["previous", "invited"])],
    ids=["previous", "invited"],
)
def test_join_tries_the_token_of_the_previous_session_first(valid: str, tokens: list[str]) -> None:
    with scripted_server() as farm:
        farm.reply = accept_only(valid)
        session = Registration(settings(farm.url), verify=True).join(REQUEST, previous(farm))
        assert session.token == "new"
        assert [bearer(request) for request in farm.requests] == tokens


def test_join_uses_the_invitation_without_a_previous_session() -> None:
    with scripted_server() as farm:
        farm.reply = accept_only("invited")
        Registration(settings(farm.url), verify=True).join(REQUEST, None)
        farm.reply = accept_only("nothing")
        with pytest.raises(Unauthorized):
            Registration(settings(farm.url), verify=True).join(REQUEST, previous(farm))


def test_join_verifies_the_broker_with_the_trusted_authority(tmp_path: Path) -> None:
    with scripted_server() as farm:
        farm.reply = lambda _: accept(VERIFIED_BROKER)
        registration = Registration(settings(farm.url, ca_file=tmp_path / "ca.crt"), verify=True)
        assert (
            registration.join(REQUEST, None).broker_url
            == f"{VERIFIED_BROKER}&ssl_ca_certs={tmp_path}/ca.crt"
        )


@pytest.mark.parametrize("url", ["redis://u:p@r.example:6379/0", "rediss://u:p@r.example:6380/0"])
def test_join_refuses_an_unverified_broker(url: str) -> None:
    with scripted_server() as farm:
        farm.reply = lambda _: accept(url)
        with pytest.raises(ClientSettingsError, match="ssl_cert_reqs=required"):
            Registration(settings(farm.url), verify=True).join(REQUEST, None)
        insecure = Registration(settings(farm.url, insecure=True), verify=True)
        assert insecure.join(REQUEST, None).broker_url == url


def test_refuse_unsafe_url_refuses_clear_text() -> None:
    with pytest.raises(ClientSettingsError, match=r"_SCHEDULER_URL=https://farm\.example:8700"):
        refuse_unsafe_url(settings("http://farm.example:8700"))
    refuse_unsafe_url(settings("http://farm.example:8700", insecure=True))
    refuse_unsafe_url(settings("https://farm.example:8700"))
    refuse_unsafe_url(settings("http://127.0.0.1:8700"))


@pytest.fixture
def scheduler() -> Iterator[ScriptedServer]:
    with scripted_server() as instance:
        instance.reply_with(Reply(body=verdicts(1)))
        yield instance


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    instance = Outbox(tmp_path / "outbox.db")
    instance.put(SHARD, LEASE, done(1))
    yield instance
    instance.close()


def saved_credentials(path: Path, url: str) -> Path:
    save_credentials(
        path, Credentials(scheduler_url=url, worker_id="worker_0001", token="previous")
    )
    return path


def test_save_credentials_writes_a_file_only_its_owner_can_read(tmp_path: Path) -> None:
    path = saved_credentials(tmp_path / "credentials.json", "http://there")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["credentials.json"]
    saved_credentials(path, "http://elsewhere")
    assert Credentials.model_validate_json(path.read_text()).scheduler_url == "http://elsewhere"


def test_settle_delivers_results_and_leaves(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox
) -> None:
    path = saved_credentials(tmp_path / "credentials.json", scheduler.url)
    previous = settle_previous_session(path, outbox, scheduler.url)
    assert scheduler.paths() == [f"/worker/v1/shards/{SHARD}/report", "/worker/v1/leave"]
    headers = scheduler.requests[0].headers
    assert headers["authorization"] == "Bearer previous"
    assert outbox.next_results() is None
    # A successor may register with its token, so it is kept until there is one.
    assert previous is not None
    assert previous.token == "previous"
    assert path.exists()


@pytest.mark.parametrize("answer", [Reply(503), Reply(401), Reply(0)])
def test_settle_clears_the_outbox_after_any_error(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox, answer: Reply
) -> None:
    scheduler.reply_with(answer)
    path = saved_credentials(tmp_path / "credentials.json", scheduler.url)
    assert settle_previous_session(path, outbox, scheduler.url) is not None
    assert outbox.next_results() is None


def test_settle_ignores_the_session_of_another_scheduler(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox
) -> None:
    path = saved_credentials(tmp_path / "credentials.json", f"http://127.0.0.1:{free_port()}")
    assert settle_previous_session(path, outbox, scheduler.url) is None
    assert scheduler.requests == []
    assert outbox.next_results() is None
    assert not path.exists()


@pytest.mark.parametrize("text", [None, "", "{}", "not json"])
def test_settle_without_credentials_is_no_error(
    tmp_path: Path, scheduler: ScriptedServer, outbox: Outbox, text: str | None
) -> None:
    path = tmp_path / "credentials.json"
    if text is not None:
        path.write_text(text)
    assert settle_previous_session(path, outbox, scheduler.url) is None
    assert scheduler.requests == []
    assert outbox.next_results() is None


def ca_settings(folder: Path, **changes: object) -> WorkerSettings:
    values = {"join_token": "t", "data_dir": folder / "data", **changes}
    return WorkerSettings.model_validate(values)


def test_with_ca_file_writes_the_authority_unless_a_file_is_set(tmp_path: Path) -> None:
    authority = certificates(tmp_path / "certificates").authority
    environ = pack_ca(authority, setting="")
    ca_file = settings_with_ca_file(ca_settings(tmp_path), environ).ca_file
    assert ca_file is not None
    assert ca_file.read_text() == authority.read_text()
    assert settings_with_ca_file(ca_settings(tmp_path), {}).ca_file is None
    with_own_file = ca_settings(tmp_path, ca_file=tmp_path / "of.ours")
    assert settings_with_ca_file(with_own_file, environ).ca_file == tmp_path / "of.ours"
