"""Draining, in its own process because it ends processes, and the watchdog of the scheduler."""

import os
import subprocess
import sys

import pytest

from tests.fleet.fakes import runpod
from tests.fleet.fakes.account import Account, Fault
from tests.servers.process import wait_until
from tests.servers.scripted_http import scripted_server
from trackfarm_worker.settings import ABANDONED, CANNOT_CONTINUE
from trackfarm_worker.shutdown import SchedulerWatchdog

PROGRAM = """
import os, signal, sys, threading
from trackfarm import logs
logs.configure("json")
from typing import Any, cast
from tests.worker.fake_engine import FakeEngine
from tests.worker.shards import claim
from trackfarm_worker.shards_in_flight import ShardRegistry
from trackfarm_worker.scheduler_client import SchedulerUnavailable
from trackfarm_worker.shutdown import Drain
from trackfarm_worker.self_terminate import RentalTermination, own_rental

class FakeHeartbeat:
    def beat(self):
        say("beat")
        raise SchedulerUnavailable("nobody there")

say = lambda *words: sys.stdout.write(' '.join(map(str, words)) + chr(10)) and sys.stdout.flush()
how, seconds = sys.argv[1], float(sys.argv[2])
registry, closed = ShardRegistry(), threading.Event()
engine = FakeEngine(cast(Any, None))
stopped = threading.Event()
engine.stop_current = lambda ids=None: (say("stop", ids), stopped.set())
engine.close = lambda: (say("close"), closed.set())
base = os.environ.get("PROVIDER", "")
terminate_rental = RentalTermination(own_rental("runpod", os.environ, base=base), wait=lambda _: 0.1)
drain = Drain(registry=registry, engine=cast(Any, engine), seconds=seconds, terminate_rental=terminate_rental)
drain.heartbeat = cast(Any, FakeHeartbeat())
signal.signal(signal.SIGTERM, lambda *_: drain.begin())
with registry.track(claim(1)) as shard:
    if how == "fail":
        drain.fail("the token is void")
        drain.fail("and again")
    elif how.startswith("abandon"):
        drain.abandon("the scheduler is silent")
    else:
        drain.begin()
        drain.begin()
        drain.request("too late")
    assert closed.wait(20) and stopped.wait(20)
    say(shard.stop_reason, repr(drain.failed_because))
    if how.endswith("hang"):
        threading.Event().wait(60)
if drain.abandoned:
    terminate_rental()
sys.exit(drain.exit_code)
"""


def drain(how: str, seconds: float, **environ: str) -> tuple[int, list[str]]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(seconds)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )
    assert "Traceback" not in run.stderr, run.stderr
    return run.returncode, run.stdout.splitlines()


def test_drain_stops_the_engine_reports_and_closes_once() -> None:
    code, output = drain("drain", 5)
    assert code == 0
    assert sorted(output) == ["beat", "close", "draining ''", "stop None"]


def test_drain_after_a_failure_keeps_the_reason() -> None:
    code, output = drain("fail", 5)
    assert code == CANNOT_CONTINUE
    assert sorted(output) == ["beat", "close", "draining 'the token is void'", "stop None"]


@pytest.mark.parametrize("seconds", [0.5])
def test_drain_ends_a_hanging_process(seconds: float) -> None:
    code, output = drain("hang", seconds)
    assert code == 1
    assert "close" in output


@pytest.mark.parametrize("how", ["abandoned and hang", "abandoned"])
def test_abandoned_worker_ends_its_rental_although_the_provider_fails_at_first(how: str) -> None:
    account = Account()
    machine = account.rent(tag="tf-hotel-1", gpu="L4", gpus=1, price=0.4, env={})
    account.inject("terminate", *[Fault.SERVER_ERROR] * 5)
    with scripted_server(runpod.FakeRunPod(account).reply) as server:
        code, _ = drain(how, 0.2, PROVIDER=server.url, **runpod.inside(machine))
    assert code == ABANDONED
    assert account.running() == []


def test_watchdog_fires_once_after_silence_and_not_before() -> None:
    reasons: list[str] = []
    now = [0.0]
    watchdog = SchedulerWatchdog(0.2, reasons.append, now=lambda: now[0])
    watchdog.start()
    now[0] = 0.19
    watchdog.record_response()
    now[0] = 0.38
    watchdog.stop(timeout=0.03)
    assert reasons == []
    second = SchedulerWatchdog(0.2, reasons.append, now=lambda: now[0])
    second.start()
    now[0] += 0.2
    wait_until(lambda: bool(reasons), timeout_s=5, what="the watchdog fires")
    second.stop(timeout=1)
    assert len(reasons) == 1
    assert "no response" in reasons[0]
