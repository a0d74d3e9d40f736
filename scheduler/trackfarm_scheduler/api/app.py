"""Puts the routes together into one application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST

from trackfarm import __version__
from trackfarm_scheduler import metrics
from trackfarm_scheduler.api import operator, plans, problems, uploads, worker
from trackfarm_scheduler.api.heartbeats import heartbeat_route
from trackfarm_scheduler.badges import Badges
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.routes import directory_router

THREADS = 16  # requests at work at once; the rest waits in line and not for each other's locks


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    watching = asyncio.create_task(app.state.farm.promptness.watch())
    yield
    watching.cancel()


def build_app(farm: Farm) -> FastAPI:
    """The scheduler's web application over what the composition root has built."""
    app = FastAPI(
        title="trackfarm",
        version=__version__,
        docs_url="/api/docs",
        lifespan=_running,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.farm = farm
    app.state.badges = Badges(farm.database)
    problems.install(app)
    # These first, because routes are tried in order.
    app.router.routes.insert(0, heartbeat_route(farm))
    app.include_router(worker.router)
    app.include_router(operator.router)
    app.include_router(plans.router)
    app.include_router(uploads.router)
    if isinstance(farm.objects, DirectoryStore):
        app.include_router(directory_router(farm.objects))
    collector = metrics.collector_of(farm)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    def metrics_text() -> Response:
        return Response(metrics.exposition(collector), media_type=CONTENT_TYPE_LATEST)

    return app
