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
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.net.tls import tls_verify
from trackfarm.protocol.worker import RegisterAnswer, RegisterRequest
from trackfarm.settings import BAD_SETTINGS, ClientSettingsError
from trackfarm.settings_errors import SETTINGS_ERRORS
from trackfarm_worker import gpu, multi_gpu, registration, self_terminate, self_test
from trackfarm_worker.calibration import stored
from trackfarm_worker.celery_app import build_celery, serve
from trackfarm_worker.encoder_pool import EncoderPool
from trackfarm_worker.engine.parent.client import EngineProcess
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed
from trackfarm_worker.engine.protocol import Ready
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.gpu import GpuInfo, GpuSensor
from trackfarm_worker.heartbeat import HeartbeatThread
from trackfarm_worker.outbox import Outbox, Reporter
from trackfarm_worker.registration import (
    Credentials,
    Registration,
    refuse_unsafe,
    with_authority_file,
)
from trackfarm_worker.scheduler_client import NotWelcome, Rejected, SchedulerAway, SchedulerClient
from trackfarm_worker.self_terminate import RentalTermination
from trackfarm_worker.self_test import SelfTestFailed
from trackfarm_worker.settings import ABANDONED, CANNOT_CONTINUE, WorkerSettings, complaint, taken
from trackfarm_worker.shard_runner import ShardRunner
from trackfarm_worker.shards_in_flight import ShardRegistry
from trackfarm_worker.shutdown import Drain, SchedulerWatchdog
from trackfarm_worker.sources.cache import SourceCache

log = structlog.get_logger("trackfarm_worker")


def _register_request(settings: WorkerSettings, detected: GpuInfo, ready: Ready) -> RegisterRequest:
    return RegisterRequest(
        name=settings.name,
        gpu=detected.name,
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
    settings: WorkerSettings, detected: GpuInfo, ready: Ready
) -> dict[str, float]:
    """Return the results of `trackfarm-worker calibrate` for this GPU and model set; empty if there
    are none."""
    calibration = stored(settings.data_dir)
    if calibration is None:
        return {}
    if not calibration.fits(
        gpu=detected.name, memory_mib=detected.memory_mib, model_set=ready.model_set
    ):
        log.warning("calibration_ignored", gpu=calibration.gpu, model_set=calibration.model_set)
        return {}
    return calibration.facts(model_set(settings.model_set))


def _work(
    settings: WorkerSettings, detected: GpuInfo, give_back: RentalTermination, parts: ExitStack
) -> int:
    spool = settings.data_dir / "spool"
    shutil.rmtree(spool, ignore_errors=True)  # audio of a killed predecessor is useless
    spool.mkdir(parents=True)
    parts.callback(shutil.rmtree, spool, ignore_errors=True)
    outbox = Outbox(settings.data_dir / "outbox.db")
    parts.callback(outbox.close)
    verify = tls_verify(settings.ca_file, setting="TRACKFARM_WORKER_CA_FILE")
    credentials_file = settings.data_dir / "credentials.json"
    past = registration.settle_past(credentials_file, outbox, settings.scheduler_url, verify=verify)

    engine = parts.enter_context(
        EngineProcess(
            settings.engine(spool, step_delay=settings.step_delay), on_log=_log_engine_line
        )
    )
    ready = engine.start()
    log.info("engine_ready", model_set=ready.model_set, load_seconds=ready.load_seconds)
    _self_test(settings, detected, engine)
    registered = Registration(settings, verify).join(
        _register_request(settings, detected, ready), past
    )
    structlog.contextvars.bind_contextvars(worker=registered.worker_id)
    registration.save(
        credentials_file,
        Credentials(
            scheduler_url=settings.scheduler_url,
            worker_id=registered.worker_id,
            token=registered.token,
        ),
    )
    return _serve(settings, registered, verify, engine, outbox, give_back, parts)


def _self_test(settings: WorkerSettings, detected: GpuInfo, engine: EngineProcess) -> None:
    if settings.step_delay:
        return  # slowed on purpose, for a drill
    result = self_test.examine(
        engine,
        model_set(settings.model_set),
        gpu=detected.name,
        is_gpu=settings.is_gpu,
        # On shared CPU cores a slow moment says nothing about the machine.
        least_speed=settings.least_speed if settings.is_gpu else 0.0,
    )
    log.info(
        "self_test_passed",
        seconds=result.seconds,
        speed=result.speed,
        difference=result.difference,
    )


def _serve(
    settings: WorkerSettings,
    registration: RegisterAnswer,
    verify: ssl.SSLContext | bool,
    engine: EngineProcess,
    outbox: Outbox,
    give_back: RentalTermination,
    parts: ExitStack,
) -> int:
    client = SchedulerClient(settings.scheduler_url, token=registration.token, verify=verify)
    parts.callback(client.close)
    encoders = parts.enter_context(EncoderPool(settings.encoders))
    finisher = Finisher(encoders=encoders, spool=settings.data_dir / "spool", verify=verify)
    parts.callback(finisher.close)
    finishing = ThreadPoolExecutor(PIPELINE_DEPTH * settings.encoders, "finisher")
    parts.callback(finishing.shutdown, wait=False, cancel_futures=True)

    board = ShardRegistry()
    drain = Drain(board=board, engine=engine, seconds=settings.drain_seconds, give_back=give_back)
    on_unwelcome = drain.forsake if settings.is_rented else drain.fail
    dead_man = SchedulerWatchdog(settings.scheduler_timeout_seconds, drain.forsake)
    heart = HeartbeatThread(
        client=client,
        board=board,
        engine=engine,
        intervals=registration.intervals,
        on_drain=drain.request,
        on_unwelcome=on_unwelcome,
        on_answer=dead_man.heard,
        sense=parts.enter_context(GpuSensor()).read if settings.is_gpu else lambda: None,
    )
    drain.heart = heart
    reporter = Reporter(outbox=outbox, client=client, on_unwelcome=on_unwelcome)
    runner = ShardRunner(
        client=client,
        board=board,
        engine=engine,
        finisher=finisher,
        sources=SourceCache(
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
        settings = with_authority_file(WorkerSettings(), os.environ)
        model_set(settings.model_set)
        refuse_unsafe(settings)
        logs.configure(settings.log_format, settings.log_level)
        detected = gpu.detect(settings.device, name=settings.gpu, memory_mib=settings.memory_mib)
    except SETTINGS_ERRORS as error:
        print(complaint(error), file=sys.stderr)
        return BAD_SETTINGS
    except (UnknownModelSet, ClientSettingsError, RuntimeError) as error:
        print(f"The worker's settings are invalid: {error}", file=sys.stderr)
        return BAD_SETTINGS
    environ = taken()
    give_back = RentalTermination(
        None
        if settings.is_in_group
        else self_terminate.own_rental(settings.provider, environ, base=settings.own_rental_url)
    )
    if settings.cards > 1:
        code = multi_gpu.serve(
            settings.cards, name=settings.name, folder=settings.data_dir, environ=environ
        )
    else:
        code = _run(settings, detected, give_back)
    if code == ABANDONED:
        give_back()
    return code


def _run(settings: WorkerSettings, detected: GpuInfo, give_back: RentalTermination) -> int:
    try:
        with ExitStack() as parts:
            return _work(settings, detected, give_back, parts)
    except (SchedulerAway, NotWelcome) as error:
        log.error("worker_cannot_start", error=str(error))
        return ABANDONED if settings.is_rented else CANNOT_CONTINUE
    except (EngineStartFailed, SelfTestFailed, Rejected) as error:
        log.error("worker_cannot_start", error=str(error))
        return CANNOT_CONTINUE
    except ClientSettingsError as error:
        log.error("worker_cannot_start", error=str(error))
        return BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
