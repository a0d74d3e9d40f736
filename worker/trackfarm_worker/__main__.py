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
from trackfarm_worker import calibration, gpu, registration
from trackfarm_worker.celery_app import build_celery, serve
from trackfarm_worker.encoder_pool import EncoderPool
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.parent.supervisor import EngineStartFailed
from trackfarm_worker.engine.protocol import Ready
from trackfarm_worker.finisher import Finisher
from trackfarm_worker.gpu import GpuInfo, GpuSensor
from trackfarm_worker.heartbeat import HeartbeatThread
from trackfarm_worker.multi_gpu import WorkerGroup
from trackfarm_worker.outbox import Outbox, Reporter
from trackfarm_worker.registration import Credentials, Registration
from trackfarm_worker.scheduler_client import (
    RequestRejected,
    SchedulerClient,
    SchedulerUnavailable,
    Unauthorized,
)
from trackfarm_worker.self_terminate import RentalTermination, own_rental
from trackfarm_worker.self_test import SelfTestFailed, run_self_test
from trackfarm_worker.settings import (
    ABANDONED,
    CANNOT_CONTINUE,
    WorkerSettings,
    settings_error,
    take_environment,
)
from trackfarm_worker.shard_runner import ShardRunner
from trackfarm_worker.shards_in_flight import ShardRegistry
from trackfarm_worker.shutdown import Drain, SchedulerWatchdog
from trackfarm_worker.sources.cache import SourceCache

log = structlog.get_logger("trackfarm_worker")


def main() -> int:
    """Run the worker; with arguments, run a command of `trackfarm_worker.cli`."""
    if sys.argv[1:]:
        from trackfarm_worker.cli.calibrate import app

        app()
    try:
        settings = registration.settings_with_ca_file(WorkerSettings(), os.environ)
        model_set(settings.model_set)
        registration.refuse_unsafe_url(settings)
        logs.configure(settings.log_format, settings.log_level)
        hardware = gpu.detect(settings.device, name=settings.gpu, memory_mib=settings.memory_mib)
    except SETTINGS_ERRORS as error:
        print(settings_error(error), file=sys.stderr)
        return BAD_SETTINGS
    except (UnknownModelSet, ClientSettingsError, RuntimeError) as error:
        print(f"The worker's settings are invalid: {error}", file=sys.stderr)
        return BAD_SETTINGS
    environ = take_environment()
    rental = None
    if not settings.is_in_group:
        rental = own_rental(settings.provider, environ, base=settings.own_rental_url)
    terminate_rental = RentalTermination(rental)
    if settings.cards > 1:
        code = WorkerGroup(
            settings.cards, name=settings.name, folder=settings.data_dir, environ=environ
        ).serve()
    else:
        code = _run(settings, hardware, terminate_rental)
    if code == ABANDONED:
        terminate_rental()
    return code


def _run(settings: WorkerSettings, hardware: GpuInfo, terminate_rental: RentalTermination) -> int:
    try:
        with ExitStack() as parts:
            return _work(settings, hardware, terminate_rental, parts)
    except (SchedulerUnavailable, Unauthorized) as error:
        log.error("worker_cannot_start", error=str(error))
        return ABANDONED if settings.is_rented else CANNOT_CONTINUE
    except (EngineStartFailed, SelfTestFailed, RequestRejected) as error:
        log.error("worker_cannot_start", error=str(error))
        return CANNOT_CONTINUE
    except ClientSettingsError as error:
        log.error("worker_cannot_start", error=str(error))
        return BAD_SETTINGS


def _work(
    settings: WorkerSettings,
    hardware: GpuInfo,
    terminate_rental: RentalTermination,
    parts: ExitStack,
) -> int:
    spool = settings.data_dir / "spool"
    shutil.rmtree(spool, ignore_errors=True)  # audio of a killed predecessor is useless
    spool.mkdir(parents=True)
    parts.callback(shutil.rmtree, spool, ignore_errors=True)
    outbox = Outbox(settings.data_dir / "outbox.db")
    parts.callback(outbox.close)
    verify = tls_verify(settings.ca_file, setting="TRACKFARM_WORKER_CA_FILE")
    credentials_file = settings.data_dir / "credentials.json"
    previous = registration.settle_previous_session(
        credentials_file, outbox, settings.scheduler_url, verify=verify
    )

    engine = parts.enter_context(
        EngineClient(
            settings.engine(spool, step_delay=settings.step_delay), on_log=_log_engine_line
        )
    )
    ready = engine.start()
    log.info("engine_ready", model_set=ready.model_set, load_seconds=ready.load_seconds)
    _self_test(settings, hardware, engine)
    session = Registration(settings, verify).join(
        _register_request(settings, hardware, ready), previous
    )
    structlog.contextvars.bind_contextvars(worker=session.worker_id)
    registration.save_credentials(
        credentials_file,
        Credentials(
            scheduler_url=settings.scheduler_url,
            worker_id=session.worker_id,
            token=session.token,
        ),
    )
    return _serve(settings, session, verify, engine, outbox, terminate_rental, parts)


def _self_test(settings: WorkerSettings, hardware: GpuInfo, engine: EngineClient) -> None:
    if settings.step_delay:
        return  # slowed on purpose, for a drill
    result = run_self_test(
        engine,
        model_set(settings.model_set),
        gpu=hardware.name,
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


def _register_request(settings: WorkerSettings, hardware: GpuInfo, ready: Ready) -> RegisterRequest:
    return RegisterRequest(
        name=settings.name,
        gpu=hardware.name,
        memory_mib=hardware.memory_mib,
        driver=hardware.driver,
        provider=settings.provider,
        rental_tag=settings.rental_tag,
        price_per_hour=settings.price_per_hour,
        model_set=settings.model_set,
        nonce=secrets.token_hex(16),
        digests=ready.digests,
        calibration=_calibration_facts(settings, hardware, ready),
        versions=ready.versions | {"trackfarm": __version__, "celery": version("celery")},
    )


def _calibration_facts(
    settings: WorkerSettings, hardware: GpuInfo, ready: Ready
) -> dict[str, float]:
    """Return the results of `trackfarm-worker calibrate` for this GPU and model set; empty if there
    are none."""
    record = calibration.load(settings.data_dir)
    if record is None:
        return {}
    if not record.fits(
        gpu=hardware.name, memory_mib=hardware.memory_mib, model_set=ready.model_set
    ):
        log.warning("calibration_ignored", gpu=record.gpu, model_set=record.model_set)
        return {}
    return record.facts(model_set(settings.model_set))


def _serve(
    settings: WorkerSettings,
    session: RegisterAnswer,
    verify: ssl.SSLContext | bool,
    engine: EngineClient,
    outbox: Outbox,
    terminate_rental: RentalTermination,
    parts: ExitStack,
) -> int:
    client = SchedulerClient(settings.scheduler_url, token=session.token, verify=verify)
    parts.callback(client.close)
    encoders = parts.enter_context(EncoderPool(settings.encoders))
    finisher = Finisher(encoders=encoders, spool=settings.data_dir / "spool", verify=verify)
    parts.callback(finisher.close)
    finishing = ThreadPoolExecutor(PIPELINE_DEPTH * settings.encoders, "finisher")
    parts.callback(finishing.shutdown, wait=False, cancel_futures=True)

    registry = ShardRegistry()
    drain = Drain(
        registry=registry,
        engine=engine,
        seconds=settings.drain_seconds,
        terminate_rental=terminate_rental,
    )
    on_unauthorized = drain.abandon if settings.is_rented else drain.fail
    watchdog = SchedulerWatchdog(settings.scheduler_timeout_seconds, drain.abandon)
    heartbeat = HeartbeatThread(
        client=client,
        registry=registry,
        engine=engine,
        intervals=session.intervals,
        on_drain=drain.request,
        on_unauthorized=on_unauthorized,
        on_response=watchdog.record_response,
        read_gpu=parts.enter_context(GpuSensor()).read if settings.is_gpu else lambda: None,
    )
    drain.heartbeat = heartbeat
    reporter = Reporter(outbox=outbox, client=client, on_unauthorized=on_unauthorized)
    runner = ShardRunner(
        client=client,
        registry=registry,
        engine=engine,
        finisher=finisher,
        sources=SourceCache(
            settings.data_dir / "spool", policy=settings.source_policy, ca_file=settings.ca_file
        ),
        outbox=outbox,
        finishing=finishing,
        on_engine_lost=drain.fail,
        on_unauthorized=on_unauthorized,
    )
    app = build_celery(
        session.broker_url,
        session.queue,
        worker_id=session.worker_id,
        run=runner.run,
    )

    def begin() -> None:
        heartbeat.start()
        reporter.start()
        if settings.is_rented:
            watchdog.start()
            parts.callback(watchdog.stop, timeout=1)
        log.info("worker_ready", queue=session.queue)

    code = serve(app, worker_id=session.worker_id, on_start=begin, on_drain=drain.begin)
    heartbeat.stop(timeout=1)
    reporter.stop(timeout=1)
    _deregister(client, drain)
    return drain.exit_code or code


def _deregister(client: SchedulerClient, drain: Drain) -> None:
    try:
        client.leave(drain.failed_because or "drained")
    except (SchedulerUnavailable, Unauthorized, RequestRejected) as error:
        log.warning("deregister_failed", error=str(error))


def _log_engine_line(line: str) -> None:
    log.debug("engine_output", line=line)


if __name__ == "__main__":
    sys.exit(main())
