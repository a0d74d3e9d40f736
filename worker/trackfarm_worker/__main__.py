"""The worker process: loads its engine, joins the farm, serves its queue until it is told to stop.

Exit codes: 0 drained, 1 could not go on, 2 settings that are not usable.
"""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version

import structlog
from pydantic import ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from trackfarm import __version__, logs
from trackfarm.broker import PIPELINE_DEPTH
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.wire import RegisterAnswer, RegisterRequest
from trackfarm_worker import credentials, fitness, machine
from trackfarm_worker.app import build_celery, serve
from trackfarm_worker.board import Board
from trackfarm_worker.calibration.record import stored
from trackfarm_worker.client import NotWelcome, Rejected, SchedulerAway, SchedulerClient
from trackfarm_worker.credentials import Credentials
from trackfarm_worker.drain import Drain
from trackfarm_worker.encoders import EncoderPool
from trackfarm_worker.engine.messages import Ready
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.engine.supervisor import EngineStartFailed
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.fitness import Unfit
from trackfarm_worker.heart import Heart
from trackfarm_worker.machine import Machine
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.reporter import Reporter
from trackfarm_worker.runner import ShardRunner
from trackfarm_worker.sensor import Sensor
from trackfarm_worker.settings import WorkerSettings, complaint
from trackfarm_worker.sources.room import SourceRoom

log = structlog.get_logger("trackfarm_worker")
CANNOT_GO_ON, BAD_SETTINGS = 1, 2


def _join(settings: WorkerSettings, found: Machine, ready: Ready) -> RegisterAnswer:
    """Registers, waiting for a scheduler that is not up yet."""
    joining = SchedulerClient(settings.scheduler_url, token=settings.join_token.get_secret_value())
    request = RegisterRequest(
        name=settings.name,
        gpu=found.gpu,
        memory_mib=found.memory_mib,
        driver=found.driver,
        provider=settings.provider,
        rental_tag=settings.rental_tag,
        price_per_hour=settings.price_per_hour,
        model_set=settings.model_set,
        digests=ready.digests,
        calibration=_measured(settings, found, ready),
        versions=ready.versions | {"trackfarm": __version__, "celery": version("celery")},
    )
    patiently = Retrying(
        retry=retry_if_exception_type(SchedulerAway),
        stop=stop_after_delay(settings.join_seconds),
        wait=wait_exponential(multiplier=0.2, max=5),
        reraise=True,
    )
    try:
        return patiently(joining.register, request)
    finally:
        joining.close()


def _measured(settings: WorkerSettings, found: Machine, ready: Ready) -> dict[str, float]:
    """What `trackfarm-worker calibrate` found out about this very card and model set."""
    kept = stored(settings.data_dir)
    if kept is None:
        return {}
    if not kept.fits(gpu=found.gpu, memory_mib=found.memory_mib, model_set=ready.model_set):
        log.warning("calibration_ignored", made_on=kept.gpu, made_with=kept.model_set)
        return {}
    return kept.facts(model_set(settings.model_set))


def _work(settings: WorkerSettings, found: Machine, parts: ExitStack) -> int:
    spool = settings.data_dir / "spool"
    shutil.rmtree(spool, ignore_errors=True)  # a killed predecessor's audio is of no use
    spool.mkdir(parents=True)
    parts.callback(shutil.rmtree, spool, ignore_errors=True)
    outbox = Outbox(settings.data_dir / "outbox.db")
    parts.callback(outbox.close)
    past = settings.data_dir / "credentials.json"
    credentials.settle_past(past, outbox, settings.scheduler_url)

    engine = parts.enter_context(
        EngineProcess(settings.engine(spool, step_delay=settings.step_delay), on_log=_echo)
    )
    ready = engine.start()
    log.info("engine_ready", model_set=ready.model_set, load_seconds=ready.load_seconds)
    _prove_fit(settings, found, engine)
    joined = _join(settings, found, ready)
    structlog.contextvars.bind_contextvars(worker=joined.worker_id)
    credentials.save(
        past,
        Credentials(
            scheduler_url=settings.scheduler_url, worker_id=joined.worker_id, token=joined.token
        ),
    )
    return _serve(settings, joined, engine, outbox, parts)


def _prove_fit(settings: WorkerSettings, found: Machine, engine: EngineProcess) -> None:
    if settings.step_delay:
        return  # slowed on purpose, for a drill
    fit = fitness.examine(
        engine,
        model_set(settings.model_set),
        gpu=found.gpu,
        is_gpu=settings.is_gpu,
        # On shared cores a slow moment says nothing of the machine.
        least_speed=settings.least_speed if settings.is_gpu else 0.0,
    )
    log.info("machine_fit", seconds=fit.seconds, speed=fit.speed, difference=fit.difference)


def _serve(
    settings: WorkerSettings,
    joined: RegisterAnswer,
    engine: EngineProcess,
    outbox: Outbox,
    parts: ExitStack,
) -> int:
    client = SchedulerClient(settings.scheduler_url, token=joined.token)
    parts.callback(client.close)
    encoders = parts.enter_context(EncoderPool(settings.encoders))
    finisher = Finisher(encoders=encoders, spool=settings.data_dir / "spool")
    parts.callback(finisher.close)
    finishing = ThreadPoolExecutor(PIPELINE_DEPTH * settings.encoders, "finisher")
    parts.callback(finishing.shutdown, wait=False, cancel_futures=True)

    board = Board()
    drain = Drain(board=board, engine=engine, seconds=settings.drain_seconds)
    heart = Heart(
        client=client,
        board=board,
        engine=engine,
        intervals=joined.intervals,
        on_drain=drain.request,
        on_unwelcome=drain.fail,
        sense=parts.enter_context(Sensor()).read if settings.is_gpu else lambda: None,
    )
    drain.heart = heart
    reporter = Reporter(outbox=outbox, client=client, on_unwelcome=drain.fail)
    runner = ShardRunner(
        client=client,
        board=board,
        engine=engine,
        finisher=finisher,
        sources=SourceRoom(settings.data_dir / "spool"),
        outbox=outbox,
        finishing=finishing,
        on_engine_lost=drain.fail,
        on_unwelcome=drain.fail,
    )
    app = build_celery(joined.broker_url, joined.queue, worker_id=joined.worker_id, run=runner.run)
    heart.start()
    reporter.start()
    log.info("worker_ready", queue=joined.queue)
    code = serve(app, worker_id=joined.worker_id, on_drain=drain.begin)
    heart.stop(timeout=1)
    reporter.stop(timeout=1)
    _leave(client, drain)
    return CANNOT_GO_ON if drain.failed_because else code


def _leave(client: SchedulerClient, drain: Drain) -> None:
    try:
        client.leave(drain.failed_because or "drained")
    except (SchedulerAway, NotWelcome, Rejected) as error:
        log.warning("leave_not_told", error=str(error))


def _echo(line: str) -> None:
    log.debug("engine_says", line=line)


def main() -> int:
    """Serves; with arguments, runs one of the commands of `trackfarm_worker.cli`."""
    if sys.argv[1:]:
        from trackfarm_worker.cli.calibrate import app

        app()
    try:
        settings = WorkerSettings()
        model_set(settings.model_set)
        logs.configure(settings.log_format)
        found = machine.look(settings.device, gpu=settings.gpu, memory_mib=settings.memory_mib)
    except ValidationError as error:
        print(complaint(error), file=sys.stderr)
        return BAD_SETTINGS
    except (UnknownModelSet, RuntimeError) as error:
        print(f"The worker's settings are not usable: {error}", file=sys.stderr)
        return BAD_SETTINGS
    try:
        with ExitStack() as parts:
            return _work(settings, found, parts)
    except (EngineStartFailed, Unfit, SchedulerAway, NotWelcome, Rejected) as error:
        log.error("cannot_work", error=str(error))
        return CANNOT_GO_ON


if __name__ == "__main__":
    sys.exit(main())
