"""Draining, in its own process because it ends processes."""

import os
import subprocess
import sys

import pytest

from tests.fleet.fakes import runpod
from tests.fleet.fakes.account import Account, Fault
from tests.servers.scripted_http import scripted_server
from trackfarm_worker.settings import ABANDONED, CANNOT_CONTINUE

PROGRAM = """
import os, signal, sys, threading
from trackfarm import logs
logs.configure("json")
from typing import Any, cast
from tests.worker.fake_engine import FakeEngine
from tests.worker.shards import claim
from trackfarm_worker.shards_in_flight import Board
from trackfarm_worker.scheduler_client import SchedulerAway
from trackfarm_worker.shutdown import Drain
from trackfarm_worker.self_terminate import GiveBack, own_rental

class Heart:
    def beat(self):
        say("beat")
        raise SchedulerAway("nobody there")

say = lambda *words: sys.stdout.write(' '.join(map(str, words)) + chr(10)) and sys.stdout.flush()
how, seconds = sys.argv[1], float(sys.argv[2])
board, closed = Board(), threading.Event()
engine = FakeEngine(cast(Any, None))
stopped = threading.Event()
engine.stop_current = lambda ids=None: (say("stop", ids), stopped.set())
engine.close = lambda: (say("close"), closed.set())
base = os.environ.get("PROVIDER", "")
give_back = GiveBack(own_rental("runpod", os.environ, base=base), wait=lambda _: 0.1)
drain = Drain(board=board, engine=cast(Any, engine), seconds=seconds, give_back=give_back)
drain.heart = cast(Any, Heart())
signal.signal(signal.SIGTERM, lambda *_: drain.begin())
with board.entered(claim(1)) as shard:
    if how == "fail":
        drain.fail("the token is void")
        drain.fail("and again")
    elif how.startswith("forsake"):
        drain.forsake("the scheduler is silent")
    else:
        drain.begin()
        drain.begin()
        drain.request("too late")
    assert closed.wait(20) and stopped.wait(20)
    say(shard.stop_reason, repr(drain.failed_because))
    if how.endswith("hang"):
        threading.Event().wait(60)
if drain.forsaken:
    give_back()
sys.exit(drain.exit_code)
"""


def drained(how: str, seconds: float, **environ: str) -> tuple[int, list[str]]:
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


def test_it_stops_the_engine_tells_the_scheduler_and_closes_once() -> None:
    code, said = drained("drain", 5)
    assert code == 0
    assert sorted(said) == ["beat", "close", "draining ''", "stop None"]


def test_a_worker_that_cannot_go_on_drains_and_remembers_why() -> None:
    code, said = drained("fail", 5)
    assert code == CANNOT_CONTINUE
    assert sorted(said) == ["beat", "close", "draining 'the token is void'", "stop None"]


@pytest.mark.parametrize("seconds", [0.5])
def test_what_hangs_is_ended_all_the_same(seconds: float) -> None:
    code, said = drained("hang", seconds)
    assert code == 1
    assert "close" in said


@pytest.mark.parametrize("how", ["forsaken and hang", "forsaken"])
def test_a_forsaken_worker_is_given_back_however_long_its_provider_is_away(how: str) -> None:
    account = Account()
    ours = account.rent(tag="tf-hotel-1", gpu="L4", gpus=1, price=0.4, env={})
    account.inject("terminate", *[Fault.SERVER_ERROR] * 5)
    with scripted_server(runpod.FakeRunPod(account).reply) as server:
        code, _ = drained(how, 0.2, PROVIDER=server.url, **runpod.inside(ours))
    assert code == ABANDONED
    assert account.running() == []
