"""Worker process: load the engine, register, serve the queue until told to stop.

If the scheduler of a rented machine is unreachable or no longer accepts it, the worker ends its own
rental at exit.
"""

import os
import secrets
import shutil
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version

import structlog

from trackfarm import __version__, logs
from trackfarm.broker import PIPELINE_DEPTH
from trackfarm.environment import UNUSABLE
from trackfarm.exit_codes import BAD_SETTINGS
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.settings import SettingsError
from trackfarm.trust import verification
from trackfarm.wire import RegisterAnswer, RegisterRequest
from trackfarm_worker import credentials, crew, fitness, machine, own_rental
from trackfarm_worker.app import build_celery, serve
from trackfarm_worker.authority import with_authority
from trackfarm_worker.board import Board
from trackfarm_worker.calibration.record import stored
from trackfarm_worker.client import NotWelcome, Rejected, SchedulerAway, SchedulerClient
from trackfarm_worker.credentials import Credentials
from trackfarm_worker.deadman import DeadMan
from trackfarm_worker.drain import Drain
from trackfarm_worker.encoders import EncoderPool
from trackfarm_worker.engine.messages import Ready
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.engine.supervisor import EngineStartFailed
from trackfarm_worker.exit_codes import CANNOT_GO_ON, FORSAKEN
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.fitness import Unfit
from trackfarm_worker.heart import Heart
from trackfarm_worker.joining import Door, refuse_unsafe
from trackfarm_worker.machine import Machine
from trackfarm_worker.outbox import Outbox
from trackfarm_worker.own_rental import GiveBack
from trackfarm_worker.reporter import Reporter
from trackfarm_worker.runner import ShardRunner
from trackfarm_worker.secrecy import taken
from trackfarm_worker.sensor import Sensor
from trackfarm_worker.settings import WorkerSettings, complaint
from trackfarm_worker.sources.room import SourceRoom

log = structlog.get_logger("trackfarm_worker")


def _register_request(settings: WorkerSettings, detected: Machine, ready: Ready) -> RegisterRequest:
    return RegisterRequest(
        name=settings.name,
        gpu=detected.gpu,
        memory_mib=detected.memory_mib,
        driver=detected.driver,
        provider=settings.provider,
        rental_tag=settings.rental_tag,
        price_per_hour=settings.price_per_hour,
        model_set=settings.model_set,
        nonce=secrets.token_hex(16),
        digests=ready.digests,
        calibration=_calibration_facts(settings, detected, ready),
        versions=ready.versions | {"trackfarm": __version__, "celery": version("celery")},
    )


def _calibration_facts(
    settings: WorkerSettings, detected: Machine, ready: Ready
) -> dict[str, float]:
    """Return the results of `trackfarm-worker calibrate` for this GPU and model set; empty if there
    are none."""
    calibration = stored(settings.data_dir)
    if calibration is None:
        return {}
    if not calibration.fits(
        gpu=detected.gpu, memory_mib=detected.memory_mib, model_set=ready.model_set
    ):
        log.warning("calibration_ignored", gpu=calibration.gpu, model_set=calibration.model_set)
        return {}
    return calibration.facts(model_set(settings.model_set))


def _work(
    settings: WorkerSettings, detected: Machine, give_back: GiveBack, parts: ExitStack
) -> int:
    spool = settings.data_dir / "spool"
    shutil.rmtree(spool, ignore_errors=True)  # audio of a killed predecessor is useless
    spool.mkdir(parents=True)
    parts.callback(shutil.rmtree, spool, ignore_errors=True)
    outbox = Outbox(settings.data_dir / "outbox.db")
    parts.callback(outbox.close)
    verify = verification(settings.ca_file, setting="TRACKFARM_WORKER_CA_FILE")
    credentials_file = settings.data_dir / "credentials.json"
    past = credentials.settle_past(credentials_file, outbox, settings.scheduler_url, verify=verify)

    engine = parts.enter_context(
        EngineProcess(
            settings.engine(spool, step_delay=settings.step_delay), on_log=_log_engine_line
        )
    )
    ready = engine.start()
    log.info("engine_ready", model_set=ready.model_set, load_seconds=ready.load_seconds)
    _self_test(settings, detected, engine)
    registration = Door(settings, verify).join(_register_request(settings, detected, ready), past)
    structlog.contextvars.bind_contextvars(worker=registration.worker_id)
    credentials.save(
        credentials_file,
        Credentials(
            scheduler_url=settings.scheduler_url,
            worker_id=registration.worker_id,
            token=registration.token,
        ),
    )
    return _serve(settings, registration, verify, engine, outbox, give_back, parts)


def _self_test(settings: WorkerSettings, detected: Machine, engine: EngineProcess) -> None:
    if settings.step_delay:
        return  # slowed on purpose, for a drill
    self_test = fitness.examine(
        engine,
        model_set(settings.model_set),
        gpu=detected.gpu,
        is_gpu=settings.is_gpu,
        # On shared CPU cores a slow moment says nothing about the machine.
        least_speed=settings.least_speed if settings.is_gpu else 0.0,
    )
    log.info(
        "self_test_passed",
        seconds=self_test.seconds,
        speed=self_test.speed,
        difference=self_test.difference,
    )


def _serve(
    settings: WorkerSettings,
    registration: RegisterAnswer,
    verify: ssl.SSLContext | bool,
    engine: EngineProcess,
    outbox: Outbox,
    give_back: GiveBack,
    parts: ExitStack,
) -> int:
    client = SchedulerClient(settings.scheduler_url, token=registration.token, verify=verify)
    parts.callback(client.close)
    encoders = parts.enter_context(EncoderPool(settings.encoders))
    finisher = Finisher(encoders=encoders, spool=settings.data_dir / "spool", verify=verify)
    parts.callback(finisher.close)
    finishing = ThreadPoolExecutor(PIPELINE_DEPTH * settings.encoders, "finisher")
    parts.callback(finishing.shutdown, wait=False, cancel_futures=True)

    board = Board()
    drain = Drain(board=board, engine=engine, seconds=settings.drain_seconds, give_back=give_back)
    on_unwelcome = drain.forsake if settings.is_rented else drain.fail
    dead_man = DeadMan(settings.dead_man_seconds, drain.forsake)
    heart = Heart(
        client=client,
        board=board,
        engine=engine,
        intervals=registration.intervals,
        on_drain=drain.request,
        on_unwelcome=on_unwelcome,
        on_answer=dead_man.heard,
        sense=parts.enter_context(Sensor()).read if settings.is_gpu else lambda: None,
    )
    drain.heart = heart
    reporter = Reporter(outbox=outbox, client=client, on_unwelcome=on_unwelcome)
    runner = ShardRunner(
        client=client,
        board=board,
        engine=engine,
        finisher=finisher,
        sources=SourceRoom(
            settings.data_dir / "spool", rules=settings.source_rules, ca_file=settings.ca_file
        ),
        outbox=outbox,
        finishing=finishing,
        on_engine_lost=drain.fail,
        on_unwelcome=on_unwelcome,
    )
    app = build_celery(
        registration.broker_url,
        registration.queue,
        worker_id=registration.worker_id,
        run=runner.run,
    )

    def begin() -> None:
        heart.start()
        reporter.start()
        if settings.is_rented:
            dead_man.start()
            parts.callback(dead_man.stop, timeout=1)
        log.info("worker_ready", queue=registration.queue)

    code = serve(app, worker_id=registration.worker_id, on_start=begin, on_drain=drain.begin)
    heart.stop(timeout=1)
    reporter.stop(timeout=1)
    _deregister(client, drain)
    return drain.exit_code or code


def _deregister(client: SchedulerClient, drain: Drain) -> None:
    try:
        client.leave(drain.failed_because or "drained")
    except (SchedulerAway, NotWelcome, Rejected) as error:
        log.warning("deregister_failed", error=str(error))


def _log_engine_line(line: str) -> None:
    log.debug("engine_output", line=line)


def main() -> int:
    """Run the worker; with arguments, run a command of `trackfarm_worker.cli`."""
    if sys.argv[1:]:
        from trackfarm_worker.cli.calibrate import app

        app()
    try:
        settings = with_authority(WorkerSettings(), os.environ)
        model_set(settings.model_set)
        refuse_unsafe(settings)
        logs.configure(settings.log_format, settings.log_level)
        detected = machine.look(settings.device, gpu=settings.gpu, memory_mib=settings.memory_mib)
    except UNUSABLE as error:
        print(complaint(error), file=sys.stderr)
        return BAD_SETTINGS
    except (UnknownModelSet, SettingsError, RuntimeError) as error:
        print(f"The worker's settings are invalid: {error}", file=sys.stderr)
        return BAD_SETTINGS
    environ = taken()
    give_back = GiveBack(
        None
        if settings.of_a_crew
        else own_rental.own_rental(settings.provider, environ, base=settings.own_rental_url)
    )
    if settings.cards > 1:
        code = crew.serve(
            settings.cards, name=settings.name, folder=settings.data_dir, environ=environ
        )
    else:
        code = _run(settings, detected, give_back)
    if code == FORSAKEN:
        give_back()
    return code


def _run(settings: WorkerSettings, detected: Machine, give_back: GiveBack) -> int:
    try:
        with ExitStack() as parts:
            return _work(settings, detected, give_back, parts)
    except (SchedulerAway, NotWelcome) as error:
        log.error("worker_cannot_start", error=str(error))
        return FORSAKEN if settings.is_rented else CANNOT_GO_ON
    except (EngineStartFailed, Unfit, Rejected) as error:
        log.error("worker_cannot_start", error=str(error))
        return CANNOT_GO_ON
    except SettingsError as error:
        log.error("worker_cannot_start", error=str(error))
        return BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
