"""Error responses, all as RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from trackfarm_scheduler.db.jobs import NotAllowed

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
INVALID_REQUEST = "the request does not match the schema of this call"
MAX_ERRORS_SHOWN = 50
_DEFAULT_DETAILS = {
    404: "there is no such address; GET /openapi.json describes all of them",
    405: "this address does not support this method; GET /openapi.json lists those it does",
}
TIME_HINT = "write it with its time zone, as 2026-11-20T00:00:00Z; in a URL, write + as %2B"


class ApiError(Exception):
    """Error that ends a request with a problem response; `detail` gives the caller the remedy."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[dict[str, Any]] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers


def validation_errors(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Convert pydantic's errors, without the values that were sent.

    Only the first 50: a body can have as many errors as it has names, and listing them all would
    take longer than finding them.
    """
    return [
        {"field": ".".join(str(part) for part in error["loc"]), "message": _message(error)}
        for error in errors[:MAX_ERRORS_SHOWN]
    ]


def _message(error: Mapping[str, Any]) -> str:
    kind = str(error["type"])
    if kind == "timezone_aware":
        return f"has no time zone; {TIME_HINT}"
    if kind.startswith("datetime"):
        return f"is not a time; {TIME_HINT}"
    return str(error["msg"])


def problem_response(
    status: int,
    detail: str,
    errors: Sequence[dict[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error response with problem details."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": list(errors),
    }
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Install handlers that turn every error of `app` into problem details."""

    @app.exception_handler(ApiError)
    def _refused(_request: Request, error: ApiError) -> JSONResponse:
        return problem_response(error.status, error.detail, error.errors, error.headers)

    @app.exception_handler(NotAllowed)
    def _not_allowed(_request: Request, error: NotAllowed) -> JSONResponse:
        return problem_response(409, error.reason)

    @app.exception_handler(ClientDisconnect)
    def _gone(request: Request, _error: ClientDisconnect) -> JSONResponse:
        log.info("client_disconnected", path=request.url.path)
        return problem_response(400, "the connection closed before the request was complete")

    @app.exception_handler(HTTPException)
    def _http(_request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if detail == HTTPStatus(error.status_code).phrase:  # no specific detail was given
            detail = _DEFAULT_DETAILS.get(error.status_code, detail)
        return problem_response(error.status_code, detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(422, INVALID_REQUEST, validation_errors(error.errors()))
