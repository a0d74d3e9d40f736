"""One measured submission: a generated CSV by the command line to a real scheduler."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from trackfarm.client import Client
from trackfarm.protocol.operator import JobInfo
from trackfarm_bench.meters import Meters
from trackfarm_bench.parts import Parts, running_farm

MOODS = ("calm", "bright", "slow", "warm", "airy")
PLACES = ("lobby", "spa", "bar", "garden", "shop", "gym", "terrace")
DURATIONS = (30, 45, 60, 90, 120, 180)


@dataclass(frozen=True, slots=True)
class Submission:
    """The result. `seconds` from the command's start to its end, and the peak memory of both sides
    in MiB. `before_mib`: the idle scheduler's memory. `again`: seconds to submit the same file
    again, when all its tracks exist."""

    briefs: int
    database: str
    seconds: float
    again: float
    client_mib: float
    before_mib: float
    scheduler_mib: float
    client_cpu: float
    scheduler_cpu: float
    tracks: int


def measure(briefs: int, database: str) -> Submission:
    with running_farm(database) as parts:
        catalog = write_catalog(parts.folder / "catalog.csv", briefs)
        with Meters(parts.pids) as idle:
            time.sleep(1)
        before = idle.parts["scheduler"].peak_mib
        began = time.time()
        with Meters(parts.pids) as meters:
            client = _submitted(parts, catalog)
        seconds = time.time() - began
        scheduler = meters.parts["scheduler"]
        spent = scheduler.spent(began, began + seconds)
        tracks = _only_job(parts).tracks.total
        began_again = time.time()
        _submitted(parts, catalog)
        return Submission(
            briefs=briefs,
            database=database,
            seconds=seconds,
            again=time.time() - began_again,
            client_mib=client.peak_mib,
            before_mib=before,
            scheduler_mib=scheduler.peak_mib,
            client_cpu=client.cpu_seconds,
            scheduler_cpu=spent,
            tracks=tracks,
        )


@dataclass(frozen=True, slots=True)
class _Client:
    peak_mib: float
    cpu_seconds: float


def _submitted(parts: Parts, catalog: Path) -> _Client:
    """Run `trackfarm submit` to its end."""
    command = [sys.executable, "-m", "trackfarm.cli", "submit", str(catalog), "--json"]
    log = parts.folder / "submit.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=parts.environment())
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(log.read_text()[-2000:])
    return _Client(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def _only_job(parts: Parts) -> JobInfo:
    with Client(parts.url, parts.api_key) as farm:
        (job,) = farm.jobs()
        return job


def write_catalog(path: Path, briefs: int) -> Path:
    """Write different briefs in the form of a shop's spreadsheet."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "duration", "bpm", "lyrics", "tags.zone"])
        for i in range(briefs):
            mood, place = MOODS[i % len(MOODS)], PLACES[i % len(PLACES)]
            prompt = f"{mood} piano and strings for the {place}, variant {i}"
            rows.writerow([prompt, DURATIONS[i % len(DURATIONS)], 60 + i % 80, "", place])
    return path
