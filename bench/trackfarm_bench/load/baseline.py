"""Baseline: the same number of tracks on a plain Celery farm on the same machine."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from tests.servers.process import Process, scratch_folder

from trackfarm_bench.meters import Meters
from trackfarm_bench.parts import running_broker

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Baseline:
    """The result. `rate`: tracks a second from the first send to the last result; `cpu`:
    milliseconds per track by part."""

    tracks: int
    rate: float
    cpu: dict[str, float]


def measure(tracks: int) -> Baseline:
    with scratch_folder("plain") as folder, running_broker(folder) as (url, broker_pid):
        env = {"PLAIN_FARM_REDIS": url, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
        arguments = ["worker", "-c", str(PROCESSES), "--loglevel", "info", "--without-mingle"]
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "trackfarm_bench.load.plain_farm",
            *arguments,
        ]
        with Process(command, log=folder / "worker.log", env=env) as worker:
            log = folder / "worker.log"
            worker.wait_ready(lambda: b" ready." in log.read_bytes(), timeout_s=60)
            pids = {"broker": broker_pid, "workers": worker.pid}
            return _measure(tracks, pids, env)


def _measure(tracks: int, pids: dict[str, int], env: dict[str, str]) -> Baseline:
    command = [sys.executable, "-m", "trackfarm_bench.load.producer", str(tracks)]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, **env}, text=True
        ) as producer,
        Meters({**pids, "producer": producer.pid}) as meters,
    ):
        output, _ = producer.communicate()
    if producer.returncode:
        raise RuntimeError("the producer of the plain Celery farm failed")
    times = json.loads(output)
    began, ended = times["began"], times["marks"][-1]
    spent = {name: usage.spent(began, ended) for name, usage in meters.parts.items()}
    return Baseline(
        tracks, tracks / (ended - began), {n: 1000 * cpu / tracks for n, cpu in spent.items()}
    )
