"""Assembly of the routes into one application."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from trackfarm import __version__
from trackfarm_scheduler import metrics
from trackfarm_scheduler.api import (
    audit,
    bundle,
    exports,
    fleet,
    keys,
    models,
    operator,
    plans,
    problems,
    streams,
    uploads,
    usage,
    webhooks,
    worker,
    workers,
)
from trackfarm_scheduler.api.description import DescribedApp
from trackfarm_scheduler.api.exports import Exports
from trackfarm_scheduler.api.gate import Gate
from trackfarm_scheduler.api.heartbeats import heartbeat_route
from trackfarm_scheduler.api.pages import pages
from trackfarm_scheduler.api.reading import Reader
from trackfarm_scheduler.badges import Badges
from trackfarm_scheduler.dropin.credentials import require_caller
from trackfarm_scheduler.dropin.line import LineWatch
from trackfarm_scheduler.dropin.routes import dropin_router
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.keyring import Keyring
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.routes import directory_router
from trackfarm_scheduler.rates import Rates
from trackfarm_scheduler.store import replays
from trackfarm_scheduler.streams.studio import Studio

THREADS = 16  # requests served at once; more would only wait for each other's locks


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    farm: Farm = app.state.farm
    with farm.database.write() as session:
        replays.release_all(session, farm.leadership.holder)
    lag_monitor = asyncio.create_task(farm.promptness.watch())
    yield
    lag_monitor.cancel()


def build_app(farm: Farm) -> FastAPI:
    """Build the scheduler's web application over the services of the composition root."""
    app = DescribedApp(
        title="trackfarm",
        version=__version__,
        openapi_url=None,  # needs a key like all other routes; see `pages`
        lifespan=_running,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.farm = farm
    app.state.badges = Badges(farm.database)
    root_key = farm.settings.api_key.get_secret_value()
    app.state.keyring = Keyring(farm.database, root_key, farm.clock)
    app.state.studio = Studio(farm.database, farm.settings.most_streams)
    app.state.exports = Exports()
    app.state.rates = Rates(time.monotonic)
    problems.install(app)
    app.add_middleware(Gate, reader=Reader(require_caller, farm.settings.submission_bytes))
    # The most frequent routes come first, because routes are tried in order.
    app.router.routes.insert(0, heartbeat_route(farm))
    app.include_router(worker.router)
    app.include_router(operator.router)
    app.include_router(workers.router)
    app.include_router(models.router)
    app.include_router(fleet.router)
    app.include_router(bundle.router)
    app.include_router(plans.router)
    app.include_router(uploads.router)
    app.include_router(keys.router)
    app.include_router(streams.router)
    app.include_router(exports.router)
    app.include_router(webhooks.router)
    app.include_router(usage.router)
    app.include_router(audit.router)
    app.include_router(dropin_router(LineWatch(farm.database, time.monotonic)))
    if isinstance(farm.objects, DirectoryStore):
        app.include_router(directory_router(farm.objects))
    app.include_router(pages(app, metrics.collector_of(farm)))
    return app
