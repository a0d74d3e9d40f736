"""Composition root: builds every part of the scheduler from its settings."""

import os
import socket
import time
from collections.abc import Callable

import httpx
import structlog
from anyio import CapacityLimiter

from trackfarm.net.safe_urls import with_ca_file
from trackfarm.net.tls import tls_verify
from trackfarm.planning import load_prices
from trackfarm.settings import ClientSettingsError
from trackfarm_scheduler import event_log
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.broker.users import BrokerUsers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.loop import Loop
from trackfarm_scheduler.loops.artifact_verifier import ArtifactVerifier
from trackfarm_scheduler.loops.broker_user_sync import BrokerUserSync
from trackfarm_scheduler.loops.completer import JobCompleter
from trackfarm_scheduler.loops.lag_monitor import LagMonitor
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.orphan_cleaner import OrphanCleaner
from trackfarm_scheduler.loops.placer import Placer
from trackfarm_scheduler.loops.pruner import Pruner
from trackfarm_scheduler.loops.rescuer import Rescuer
from trackfarm_scheduler.objects import ObjectStore, open_store
from trackfarm_scheduler.results.recorder import Recorder
from trackfarm_scheduler.services import Services
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.webhooks.dispatcher import WebhookDispatcher
from trackfarm_scheduler.webhooks.http import WebhookSender, egress_policy

log = structlog.get_logger(__name__)
WORKER_THREADS = 16  # a report spends most of its time waiting for the object store
WEBHOOK_SECONDS = 0.5
BROKER_USERS_SECONDS = 1.0  # a broker that restarted empty has its users back after this time


def assemble(settings: SchedulerSettings) -> tuple[Services, list[Loop]]:
    """Build the services and the loops to start.

    Raises ObjectStoreError, SettingsError or ValueError when a setting names something unusable.
    """
    database = Database(
        settings.database_url.get_secret_value(),
        on_commit=event_log.log_events,
        ca_file=settings.ca_file,
    )
    database.migrate()
    objects = _open_objects(settings)
    broker_url = with_ca_file(settings.broker_url.get_secret_value(), settings.ca_file)
    broker, users = Broker(broker_url), _open_users(broker_url, settings)
    clock = time.time
    # A restart on the same host and port keeps its leader lease instead of waiting for it to expire.
    holder = f"{socket.gethostname()}:{settings.port}"
    leadership = Leadership(
        database=database, holder=holder, lease_seconds=settings.leader_lease_seconds
    )
    completer = JobCompleter(database=database, leadership=leadership, clock=clock)
    worker_threads = CapacityLimiter(WORKER_THREADS)
    services = Services(
        settings=settings,
        database=database,
        objects=objects,
        broker=broker,
        users=users,
        recorder=Recorder(database=database, objects=objects, clock=clock, bounds=settings.bounds),
        leadership=leadership,
        placer_loop=_placer_loop(settings, database, broker, leadership, clock),
        completer_loop=Loop(
            "completer", completer.tick, seconds=2 * settings.tick_seconds, rest_factor=20.0
        ),
        prices=load_prices(os.environ),
        lag_monitor=LagMonitor(worker_threads, database.wait_to_write),
        worker_threads=worker_threads,
        clock=clock,
    )
    return services, _loops(services)


def _loops(services: Services) -> list[Loop]:
    """Return the farm's loops and all others in shutdown order: leadership stops first, so that a
    successor need not wait for the rest. From here on this scheduler may lead."""
    settings, leadership, rescuer = services.settings, services.leadership, _rescuer(services)
    leadership.on_gain = rescuer.recover
    loops = [
        Loop(
            "leadership",
            leadership.tick,
            seconds=settings.leader_lease_seconds / 4,
            on_stop=leadership.release,
        ),
        services.placer_loop,
        services.completer_loop,
        Loop("rescuer", rescuer.tick, seconds=2 * settings.tick_seconds),
        _webhooks_loop(services),
        *_housekeeping(services),
    ]
    if services.users is not None:
        sync = BrokerUserSync(
            database=services.database,
            users=services.users,
            leadership=leadership,
            clock=services.clock,
        )
        loops.append(Loop("broker users", sync.tick, seconds=BROKER_USERS_SECONDS))
    leadership.tick()
    return loops


def _placer_loop(
    settings: SchedulerSettings,
    database: Database,
    broker: Broker,
    leadership: Leadership,
    clock: Callable[[], float],
) -> Loop:
    placer = Placer(
        database=database,
        broker=broker,
        leadership=leadership,
        clock=clock,
        shard_seconds=settings.shard_seconds,
        reserved=settings.reserved,
    )
    # Looking at a thousand workers takes long; each has a queued shard and can wait for the next.
    return Loop(
        "placer", placer.tick, seconds=settings.tick_seconds, rest_factor=5.0, max_rest_seconds=1.0
    )


def _rescuer(services: Services) -> Rescuer:
    return Rescuer(
        database=services.database,
        broker=services.broker,
        leadership=services.leadership,
        clock=services.clock,
        claim_within=services.settings.claim_within_seconds,
        lost_after=services.settings.lost_after_seconds,
        our_lag=lambda: services.lag_monitor.lag,
        on_rescue=services.placer_loop.wake,
    )


def _webhooks_loop(services: Services) -> Loop:
    settings = services.settings
    verify = tls_verify(settings.ca_file, setting="TRACKFARM_SCHEDULER_CA_FILE")
    no_keepalive = httpx.Limits(max_keepalive_connections=0)
    transport = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=no_keepalive)
    dispatcher = WebhookDispatcher(
        database=services.database,
        leadership=services.leadership,
        sender=WebhookSender(services.objects, egress_policy(settings), services.clock, transport),
        signing_secret=settings.signing_secret.get_secret_value().encode(),
        give_up_seconds=settings.webhook_give_up_seconds,
        clock=services.clock,
    )
    return Loop("webhooks", dispatcher.tick, seconds=WEBHOOK_SECONDS, on_stop=dispatcher.close)


def _housekeeping(services: Services) -> list[Loop]:
    """Return the cleanup loops: orphaned objects, changed artifacts, and data past its
    retention."""
    database, objects, leadership, clock = (
        services.database,
        services.objects,
        services.leadership,
        services.clock,
    )
    margin, seconds = services.settings.sweep_margin_seconds, services.settings.sweep_seconds
    orphan_cleaner = OrphanCleaner(
        database=database, objects=objects, leadership=leadership, clock=clock, margin=margin
    )
    artifact_verifier = ArtifactVerifier(
        database=database, objects=objects, leadership=leadership, clock=clock, margin=margin
    )
    pruner = Pruner(
        database=database,
        objects=objects,
        leadership=leadership,
        clock=clock,
        retention=services.settings.retention,
    )
    if database.is_sqlite:
        orphan_cleaner.recover()
    return [
        Loop("orphan cleaner", orphan_cleaner.tick, seconds=seconds),
        Loop("artifact verifier", artifact_verifier.tick, seconds=seconds),
        Loop("pruner", pruner.tick, seconds=seconds),
    ]


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
            meaning="the holder of an upload URL can replace a finished track until the URL expires;"
            " each track is verified again after that, and a changed one is made again",
        )
    return store


def _open_users(url: str, settings: SchedulerSettings) -> BrokerUsers | None:
    users = BrokerUsers(url, external_url=settings.broker_external_url)
    if (fault := users.check()) is None:
        return users
    users.close()
    if not settings.insecure:
        raise ClientSettingsError(fault)
    log.warning("broker_credentials_shared", reason=fault)
    return None
