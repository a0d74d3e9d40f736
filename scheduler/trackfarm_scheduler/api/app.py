"""Puts the routes together into one application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST

from trackfarm import __version__
from trackfarm_scheduler import metrics
from trackfarm_scheduler.api import operator, plans, problems, uploads, worker
from trackfarm_scheduler.badges import Badges
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.metrics import FarmCollector
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.routes import directory_router
from trackfarm_scheduler.pulse import Pulse

THREADS = 16  # requests at work at once; the rest waits in line and not for each other's locks


@asynccontextmanager
async def _few_threads(_app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    yield


def build_app(farm: Farm) -> FastAPI:
    """The scheduler's web application over what the composition root has built."""
    app = FastAPI(
        title="trackfarm", version=__version__, docs_url="/api/docs", lifespan=_few_threads
    )
    app.state.farm = farm
    app.state.badges = Badges(farm.database)
    app.state.pulse = Pulse(farm)
    problems.install(app)
    app.include_router(operator.router)
    app.include_router(plans.router)
    app.include_router(uploads.router)
    app.include_router(worker.router)
    if isinstance(farm.objects, DirectoryStore):
        app.include_router(directory_router(farm.objects))
    collector = FarmCollector(database=farm.database, broker=farm.broker)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    def metrics_text() -> Response:
        return Response(metrics.exposition(collector), media_type=CONTENT_TYPE_LATEST)

    return app
