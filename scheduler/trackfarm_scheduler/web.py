"""Assembly of the routes into one application."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from trackfarm import __version__
from trackfarm_scheduler import metrics
from trackfarm_scheduler.acestep_api.request import require_caller
from trackfarm_scheduler.acestep_api.routes import RELEASE, acestep_router
from trackfarm_scheduler.api import (
    errors,
    events,
    exports,
    fleet,
    jobs,
    keys,
    models,
    uploads,
    usage,
    webhooks,
    worker_api,
    workers,
)
from trackfarm_scheduler.api.exports import RunningDownloads
from trackfarm_scheduler.api.heartbeats import heartbeat_route
from trackfarm_scheduler.api.middleware import RequestMiddleware
from trackfarm_scheduler.api.openapi import DescribedApp
from trackfarm_scheduler.api.pages import pages
from trackfarm_scheduler.api.queue_position import QueueWatch
from trackfarm_scheduler.api.rate_limit import RateLimiter
from trackfarm_scheduler.api.request_body import BodyLimiter
from trackfarm_scheduler.auth.credential_cache import api_key_cache, token_cache
from trackfarm_scheduler.db import idempotency
from trackfarm_scheduler.events.broadcaster import EventBroadcaster
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.directory_routes import directory_router
from trackfarm_scheduler.services import Services

THREADS = 16  # requests served at once; more would only wait for each other's locks


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    services: Services = app.state.services
    with services.database.write() as session:
        idempotency.release_all(session, services.leadership.holder)
    lag_monitor = asyncio.create_task(services.lag_monitor.watch())
    yield
    lag_monitor.cancel()


def build_app(services: Services) -> FastAPI:
    """Build the scheduler's web application over the services of the composition root."""
    app = DescribedApp(
        title="trackfarm",
        version=__version__,
        openapi_url=None,  # needs a key like all other routes; see `pages`
        lifespan=_running,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    app.state.token_cache = token_cache(services.database)
    root_key = services.settings.api_key.get_secret_value()
    app.state.key_cache = api_key_cache(services.database, root_key, services.clock)
    app.state.broadcaster = EventBroadcaster(services.database, services.settings.most_streams)
    app.state.downloads = RunningDownloads()
    app.state.rate_limiter = RateLimiter(time.monotonic)
    errors.install_handlers(app)
    limiter = BodyLimiter(
        require_caller, services.settings.submission_bytes, upload_paths=[RELEASE]
    )
    app.add_middleware(RequestMiddleware, limiter=limiter)
    # The most frequent routes come first, because routes are tried in order.
    app.router.routes.insert(0, heartbeat_route(services))
    app.include_router(worker_api.router)
    app.include_router(jobs.router)
    app.include_router(workers.router)
    app.include_router(models.router)
    app.include_router(fleet.router)
    app.include_router(fleet.bundle_router)
    app.include_router(models.plans_router)
    app.include_router(uploads.router)
    app.include_router(keys.router)
    app.include_router(events.router)
    app.include_router(exports.router)
    app.include_router(webhooks.router)
    app.include_router(usage.router)
    app.include_router(acestep_router(QueueWatch(services.database, time.monotonic)))
    if isinstance(services.objects, DirectoryStore):
        app.include_router(directory_router(services.objects))
    app.include_router(pages(app, metrics.collector_of(services)))
    return app
