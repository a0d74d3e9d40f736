"""A rented worker refused at its first heartbeat: its rental ended while it registered."""

import sys
from pathlib import Path

import pytest

from tests.fleet.fakes import runpod
from tests.fleet.fakes.account import Account
from tests.servers.process import Process, wait_until
from tests.servers.scripted_http import ReceivedRequest, Reply, scripted_server
from trackfarm.protocol.worker import Intervals, RegisterAnswer
from trackfarm_worker.settings import ABANDONED

JOINED = RegisterAnswer(
    worker_id="worker_0001",
    token="a-token-that-is-void-soon",
    queue="gpu.vram24.tiny.worker_0001",
    broker_url="redis://127.0.0.1:1/0",
    intervals=Intervals(heartbeat=1, lost_after=10),
)


def no_farm_any_more(request: ReceivedRequest) -> Reply:
    if request.path.endswith("/register"):
        return Reply(200, JOINED.model_dump())
    return Reply(401, {"title": "Unauthorized", "status": 401, "detail": "the rental has ended"})


@pytest.mark.soak
def test_abandoned_worker_terminates_its_rental(tmp_path: Path) -> None:
    account = Account()
    machine = account.rent(tag="tf-hotel-1", gpu="L4", gpus=1, price=0.4, env={})
    fake = runpod.FakeRunPod(account)
    with scripted_server(fake.reply) as provider, scripted_server(no_farm_any_more) as farm:
        settings = {
            "MODEL_SET": "tiny",
            "SCHEDULER_URL": farm.url,
            "JOIN_TOKEN": "the-token-of-an-invitation",
            "DATA_DIR": str(tmp_path / "data"),
            "PROVIDER": "runpod",
            "RENTAL_TAG": machine.tag,
            "OWN_RENTAL_URL": provider.url,
        }
        env = {f"TRACKFARM_WORKER_{name}": value for name, value in settings.items()}
        command = [sys.executable, "-P", "-m", "trackfarm_worker"]
        log = tmp_path / "worker.log"
        with Process(command, log=log, env={**env, **runpod.inside(machine)}) as worker:
            wait_until(lambda: not worker.is_running, timeout_s=60, what="it has ended")
            assert worker.exit_code == ABANDONED, log.read_text()
    assert account.running() == []
