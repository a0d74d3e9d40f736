"""A small, strict farm that serves `/api/v1` over real HTTP, with track files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from tests.common.fake_farm.routes import file_routes, job_routes, look_routes, submission_routes
from tests.common.fake_farm.state import FarmState
from tests.servers.asgi import listening_socket, serve_app
from trackfarm.protocol.base import ProblemDetails

API_KEY = "operator-key-of-the-tests"


def build_app(farm: FarmState) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    def refuse(_: Request, error: HTTPException) -> JSONResponse:
        problem = ProblemDetails(
            title="Refused",
            status=error.status_code,
            detail=str(error.detail),
            errors=farm.bad_briefs if error.status_code == 422 else [],
        )
        return JSONResponse(
            problem.model_dump(),
            status_code=error.status_code,
            media_type="application/problem+json",
        )

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        path = request.url.path
        if farm.outages and path.startswith("/api/"):
            status = farm.outages.pop(0)
            headers = {"Retry-After": "0"} if status in (409, 429) else {}
            return Response("gone for a moment", status_code=status, headers=headers)
        bearer = request.headers.get("authorization")
        if path.startswith("/api/") and bearer != f"Bearer {API_KEY}":
            problem = ProblemDetails(title="Unauthorized", status=401, detail="wrong key")
            return JSONResponse(problem.model_dump(), status_code=401)
        answer: Response = await call_next(request)
        return answer

    for routes in (submission_routes, job_routes, file_routes, look_routes):
        app.include_router(routes(farm))
    return app


@contextmanager
def serve(farm: FarmState, port: int = 0) -> Iterator[FarmState]:
    """Serve the farm on loopback inside the context; port 0 takes any free one."""
    with (
        listening_socket(port) as (listener, farm.url),
        serve_app(build_app(farm), listener, lifespan="off"),
    ):
        yield farm


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]
