"""Registration: with the previous session's token first, then the invitation, never in clear text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.scripted_http import ReceivedRequest, Reply, ScriptedServer, scripted_server
from trackfarm.protocol.worker import Intervals, RegisterAnswer, RegisterRequest
from trackfarm.settings import ClientSettingsError
from trackfarm_worker.registration import Credentials, Registration, refuse_unsafe
from trackfarm_worker.scheduler_client import NotWelcome
from trackfarm_worker.settings import WorkerSettings

REQUEST = RegisterRequest(name="n", gpu="cpu", memory_mib=8_192, model_set="tiny")
PROVED = "rediss://u:p@r.example:6380/0?ssl_cert_reqs=required"


def settings(url: str, **changes: object) -> WorkerSettings:
    told = {"scheduler_url": url, "join_token": "given", "join_seconds": 1}
    return WorkerSettings.model_validate(told | changes)


def welcome(broker_url: str) -> Reply:
    answer = RegisterAnswer(
        worker_id="worker_0002",
        token="new",
        queue="q",
        broker_url=broker_url,
        intervals=Intervals(heartbeat=1, lost_after=10),
    )
    return Reply(body=answer.model_dump_json().encode())


def only(token: str) -> Callable[[ReceivedRequest], Reply]:
    """Return a scheduler that accepts one token."""

    def reply(request: ReceivedRequest) -> Reply:
        return welcome("redis://u:p@127.0.0.1:1/0") if bearer(request) == token else Reply(401)

    return reply


def bearer(request: ReceivedRequest) -> str:
    headers = request.headers
    return headers["authorization"].removeprefix("Bearer ")


def past(farm: ScriptedServer) -> Credentials:
    return Credentials(scheduler_url=farm.url, worker_id="worker_0001", token="past")


@pytest.mark.parametrize(
    ("known", "tried"), [("past", ["past"]), ("given", ["past", "given"])], ids=["past", "given"]
)
def test_a_restarted_worker_shows_what_it_had_before(known: str, tried: list[str]) -> None:
    with scripted_server() as farm:
        farm.reply = only(known)
        joined = Registration(settings(farm.url), verify=True).join(REQUEST, past(farm))
        assert joined.token == "new"
        assert [bearer(request) for request in farm.requests] == tried


def test_a_new_one_shows_what_it_was_given() -> None:
    with scripted_server() as farm:
        farm.reply = only("given")
        Registration(settings(farm.url), verify=True).join(REQUEST, None)
        farm.reply = only("nothing")
        with pytest.raises(NotWelcome):
            Registration(settings(farm.url), verify=True).join(REQUEST, past(farm))


def test_the_authority_it_trusts_vouches_for_the_broker(tmp_path: Path) -> None:
    with scripted_server() as farm:
        farm.reply = lambda _: welcome(PROVED)
        door = Registration(settings(farm.url, ca_file=tmp_path / "ca.crt"), verify=True)
        assert door.join(REQUEST, None).broker_url == f"{PROVED}&ssl_ca_certs={tmp_path}/ca.crt"


@pytest.mark.parametrize("url", ["redis://u:p@r.example:6379/0", "rediss://u:p@r.example:6380/0"])
def test_a_broker_that_is_not_proved_is_not_gone_to(url: str) -> None:
    with scripted_server() as farm:
        farm.reply = lambda _: welcome(url)
        with pytest.raises(ClientSettingsError, match="ssl_cert_reqs=required"):
            Registration(settings(farm.url), verify=True).join(REQUEST, None)
        trusting = Registration(settings(farm.url, insecure=True), verify=True)
        assert trusting.join(REQUEST, None).broker_url == url


def test_a_scheduler_in_clear_text_is_not_spoken_to() -> None:
    with pytest.raises(ClientSettingsError, match=r"_SCHEDULER_URL=https://farm\.example:8700"):
        refuse_unsafe(settings("http://farm.example:8700"))
    refuse_unsafe(settings("http://farm.example:8700", insecure=True))
    refuse_unsafe(settings("https://farm.example:8700"))
    refuse_unsafe(settings("http://127.0.0.1:8700"))
