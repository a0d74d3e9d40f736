"""Celery part of a worker, in its own process because it installs signal handlers."""

import subprocess
import sys

PROGRAM = """
import os, signal
from trackfarm_worker.celery_app import build_celery, serve

def on_start():
    print("started", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

app = build_celery("redis://127.0.0.1:1/0", "gpu", worker_id="w1", run=lambda *_: None)
code = serve(app, worker_id="w1", on_start=on_start, on_drain=lambda: print("drains", flush=True))
print("ended", code)
"""


def test_serve_can_be_stopped_from_on_start_without_a_broker() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    words = [line for line in run.stdout.splitlines() if line and not line.startswith("worker:")]
    assert (run.returncode, words) == (0, ["started", "drains", "ended 0"]), run.stderr
