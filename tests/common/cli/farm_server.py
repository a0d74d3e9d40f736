"""A small, strict farm that serves `/api/v1` over real HTTP, with track files."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from tests.common.cli.farm_routes import file_routes, job_routes, look_routes, submission_routes
from tests.common.cli.farm_state import FarmState
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
    config = uvicorn.Config(
        build_app(farm), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    sockets = [config.bind_socket()]
    farm.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    try:
        yield farm
    finally:
        server.should_exit = True
        thread.join(10)
        sockets[0].close()


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]
