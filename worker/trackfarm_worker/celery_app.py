"""Celery app of a worker: one thin task, run by a pool of `PIPELINE_DEPTH` threads."""

from collections.abc import Callable

from celery import Celery, bootsteps
from celery.signals import worker_shutting_down
from kombu.entity import Exchange, Queue

from trackfarm.broker import PIPELINE_DEPTH, SHARD_TASK, celery_app


def build_celery(
    broker_url: str, queue: str, *, worker_id: str, run: Callable[[str, str], None]
) -> Celery:
    """Return a Celery app that consumes only `queue` and calls `run(shard id, lease id)`."""
    app = celery_app(broker_url, client_name=worker_id)
    # Not declared: that would write bindings, which are unused, and which the worker's broker user
    # may not write.
    own_queue = Queue(queue, Exchange(queue), routing_key=queue, no_declare=True)
    app.conf.task_queues = [own_queue]
    app.conf.task_default_queue = queue

    @app.task(name=SHARD_TASK)  # type: ignore[untyped-decorator]
    def shard(shard_id: str, lease_id: str) -> None:
        run(shard_id, lease_id)

    return app


def serve(
    app: Celery, *, worker_id: str, on_start: Callable[[], None], on_drain: Callable[[], None]
) -> int:
    """Consume until told to stop; SIGTERM and SIGINT drain. Return the exit code. `on_start` runs
    once the signal handlers are installed, even if the broker is down: anything that may request a
    drain starts there, because an earlier signal would simply kill the process."""

    class CallOnStart(bootsteps.StartStopStep):  # type: ignore[misc]
        def start(self, parent: object) -> None:
            on_start()

    def drain(**_: object) -> None:
        on_drain()

    app.steps["worker"].add(CallOnStart)
    worker_shutting_down.connect(drain, weak=False)
    worker = app.Worker(
        hostname=f"{worker_id}@trackfarm",
        pool="threads",
        concurrency=PIPELINE_DEPTH,
        without_gossip=True,
        without_mingle=True,
        task_events=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
