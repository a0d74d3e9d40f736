"""The scheduler process: builds every part, starts the loops, serves until it is told to stop."""

import gc
import os
import resource
import socket
import sys
import time

import structlog
import uvicorn
from pydantic import ValidationError

from trackfarm import logs
from trackfarm.broker_urls import with_authority
from trackfarm.planning import load_prices
from trackfarm.settings import SettingsError
from trackfarm.trust import check_server, verification
from trackfarm_scheduler import eventlog
from trackfarm_scheduler.api.app import build_app
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.broker_users import BrokerUsers
from trackfarm_scheduler.connections import patient_protocol
from trackfarm_scheduler.exposure import faults
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.granter import Granter
from trackfarm_scheduler.latelook import LateLook
from trackfarm_scheduler.leadership import Leadership
from trackfarm_scheduler.loops import Loop
from trackfarm_scheduler.objects import ObjectStore, ObjectStoreError, open_store
from trackfarm_scheduler.placer import Placer
from trackfarm_scheduler.promptness import Promptness
from trackfarm_scheduler.recorder import Recorder
from trackfarm_scheduler.remover import Remover
from trackfarm_scheduler.rescuer import Rescuer
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.settler import Settler
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.sweeper import Sweeper

log = structlog.get_logger("trackfarm_scheduler")
BAD_SETTINGS = 2
GARBAGE = 20_000  # new objects between two looks of the collector; usually 700
SWITCH_SECONDS = 0.0005  # the web server waits as long for a thread that computes; usually 0.005
GRANT_SECONDS = 1.0  # a broker that returned empty knows its workers again after as long
DESCRIPTORS = 65_536
KEEP_ALIVE_SECONDS = 75  # outlasts many heartbeats, so that a worker keeps its connection


def _open_objects(settings: SchedulerSettings) -> ObjectStore:
    store = open_store(
        settings.objects_url,
        access_key=settings.objects_access_key.get_secret_value(),
        secret_key=settings.objects_secret_key.get_secret_value(),
        region=settings.objects_region,
        external_endpoint=settings.objects_external_url or None,
        base_url=settings.own_url,
        signing_secret=settings.signing_secret.get_secret_value().encode(),
        ca_file=settings.ca_file,
        max_bytes=settings.most_object_bytes,
    )
    store.check()
    if not store.writes_once:
        log.warning(
            "store_replaces_objects",
            meaning="whoever holds an upload URL could replace a finished track until it expires;"
            " each is looked at again after that, and what was changed is made anew",
        )
    return store


def _open_users(url: str, settings: SchedulerSettings) -> BrokerUsers | None:
    users = BrokerUsers(url, external_url=settings.broker_external_url)
    if (fault := users.check()) is None:
        return users
    users.close()
    if not settings.insecure:
        raise SettingsError(fault)
    log.warning("workers_share_the_broker", why=fault)
    return None


def _check_files(settings: SchedulerSettings) -> None:
    verification(settings.ca_file, setting="TRACKFARM_SCHEDULER_CA_FILE")
    if settings.tls_certificate and settings.tls_key:
        names = "TRACKFARM_SCHEDULER_TLS_CERTIFICATE and _TLS_KEY"
        check_server(settings.tls_certificate, settings.tls_key, settings=names)


def _build(settings: SchedulerSettings) -> tuple[Farm, list[Loop]]:
    database = Database(
        settings.database_url.get_secret_value(),
        on_commit=eventlog.tell,
        ca_file=settings.ca_file,
    )
    database.migrate()
    objects = _open_objects(settings)
    broker_url = with_authority(settings.broker_url.get_secret_value(), settings.ca_file)
    broker, users = Broker(broker_url), _open_users(broker_url, settings)
    clock = time.time
    # A restart at the same place is the same holder: it need not wait for its own old term.
    holder = f"{socket.gethostname()}:{settings.port}"
    leadership = Leadership(database=database, holder=holder, term=settings.leader_term_seconds)
    recorder = Recorder(database=database, objects=objects, clock=clock, bounds=settings.bounds)
    placer = Placer(
        database=database,
        broker=broker,
        leadership=leadership,
        clock=clock,
        shard_seconds=settings.shard_seconds,
        reserved=settings.reserved,
    )
    # To look at a thousand workers takes long: those have a shard ahead, and can wait for the next.
    placing = Loop("placer", placer.tick, seconds=settings.tick_seconds, rest=5.0, longest_rest=1.0)
    settler = Settler(database=database, leadership=leadership, clock=clock)
    settling = Loop("settler", settler.tick, seconds=2 * settings.tick_seconds, rest=20.0)
    promptness = Promptness()
    rescuer = Rescuer(
        database=database,
        broker=broker,
        leadership=leadership,
        clock=clock,
        claim_within=settings.claim_within_seconds,
        lost_after=settings.lost_after_seconds,
        our_lag=lambda: promptness.lag,
        on_rescue=placing.wake,
    )
    sweeper = Sweeper(
        database=database,
        objects=objects,
        leadership=leadership,
        clock=clock,
        margin=settings.sweep_margin_seconds,
    )
    late_look = LateLook(
        database=database,
        objects=objects,
        leadership=leadership,
        clock=clock,
        margin=settings.sweep_margin_seconds,
    )
    remover = Remover(
        database=database,
        objects=objects,
        leadership=leadership,
        clock=clock,
        keep=settings.keep,
    )
    leadership.on_gain = rescuer.recover
    if database.is_sqlite:
        sweeper.recover()
    leadership.tick()
    farm = Farm(
        settings=settings,
        database=database,
        objects=objects,
        broker=broker,
        users=users,
        recorder=recorder,
        leadership=leadership,
        placing=placing,
        settling=settling,
        prices=load_prices(os.environ),
        promptness=promptness,
        clock=clock,
    )
    leading = Loop("leadership", leadership.tick, seconds=settings.leader_term_seconds / 4)
    rescuing = Loop("rescuer", rescuer.tick, seconds=2 * settings.tick_seconds)
    sweeping = Loop("sweeper", sweeper.tick, seconds=settings.sweep_seconds)
    looking = Loop("late look", late_look.tick, seconds=settings.sweep_seconds)
    removing = Loop("remover", remover.tick, seconds=settings.sweep_seconds)
    loops = [leading, placing, settling, rescuing, sweeping, looking, removing]
    if users is not None:
        granter = Granter(database=database, users=users, leadership=leadership, clock=clock)
        loops.append(Loop("granter", granter.tick, seconds=GRANT_SECONDS))
    return farm, loops


def _serve(farm: Farm, loops: list[Loop]) -> None:
    config = uvicorn.Config(
        build_app(farm),
        http=patient_protocol(
            head_seconds=farm.settings.head_seconds, body_seconds=farm.settings.body_seconds
        ),
        ws="none",
        server_header=False,
        host=farm.settings.host,
        port=farm.settings.port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=3,
        ssl_certfile=farm.settings.tls_certificate,
        ssl_keyfile=farm.settings.tls_key,
    )
    # What was built so far lives as long as we do: the collector need not look at it again, and what
    # a request leaves behind is rarely a cycle.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    for loop in loops:
        loop.start()
    log.info("scheduler_ready", url=farm.settings.own_url)
    try:
        uvicorn.Server(config).run()
    finally:
        for loop in loops:
            loop.stop()
        farm.leadership.resign()
        farm.broker.close()
        if farm.users is not None:
            farm.users.close()
        farm.database.close()
        log.info("scheduler_stopped")


def _allow_many_connections() -> None:
    """A thousand workers, and as many who only connect, are more than the usual 1024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
    if now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def main() -> int:
    _allow_many_connections()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = SchedulerSettings()
    except ValidationError as error:
        names = [
            f"TRACKFARM_SCHEDULER_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}"
            for e in error.errors()
        ]
        print("The scheduler's settings are not usable:", *names, sep="\n  ", file=sys.stderr)
        return BAD_SETTINGS
    if found := faults(settings):
        print("The scheduler's settings are not usable:", *found, sep="\n  ", file=sys.stderr)
        return BAD_SETTINGS
    logs.configure(settings.log_format, settings.log_level)
    try:
        _check_files(settings)
        farm, loops = _build(settings)
    except (ObjectStoreError, SettingsError, ValueError) as error:
        log.error("cannot_start", error=str(error))
        return BAD_SETTINGS
    _serve(farm, loops)
    return 0


if __name__ == "__main__":
    sys.exit(main())
