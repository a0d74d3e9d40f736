"""The Celery side: one thin task, and the worker that runs it as a pipeline of three."""

from collections.abc import Callable

from celery import Celery, bootsteps
from celery.signals import worker_shutting_down
from kombu.entity import Exchange, Queue

from trackfarm.broker import PIPELINE_DEPTH, SHARD_TASK, celery_app


def build_celery(
    broker_url: str, queue: str, *, worker_id: str, run: Callable[[str, str], None]
) -> Celery:
    """A Celery app that serves `queue` alone and calls `run(shard id, lease id)`."""
    app = celery_app(broker_url, client_name=worker_id)
    # Declared it would write bindings, which its user at the broker may not, and which nobody reads.
    mine = Queue(queue, Exchange(queue), routing_key=queue, no_declare=True)
    app.conf.task_queues = [mine]
    app.conf.task_default_queue = queue

    @app.task(name=SHARD_TASK)  # type: ignore[untyped-decorator]
    def shard(shard_id: str, lease_id: str) -> None:
        run(shard_id, lease_id)

    return app


def serve(
    app: Celery, *, worker_id: str, on_start: Callable[[], None], on_drain: Callable[[], None]
) -> int:
    """Consumes until told to stop; SIGTERM and SIGINT drain. Returns the exit code. `on_start` is
    called once they do, whether the broker is there or not: what may ask for a drain begins there,
    because a signal before that would simply end the process."""

    class Begin(bootsteps.StartStopStep):  # type: ignore[misc]
        def start(self, parent: object) -> None:
            on_start()

    def shutting_down(**_: object) -> None:
        on_drain()

    app.steps["worker"].add(Begin)
    worker_shutting_down.connect(shutting_down, weak=False)
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
