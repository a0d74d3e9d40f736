"""Refusals in one form: RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from trackfarm_scheduler.store.jobs import NotAllowed

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
WRONG_FORM = "the request does not have the form this call takes"
MOST_FLAWS = 50
_UNSAID = {
    404: "nothing is at this address; GET /openapi.json describes all that there are",
    405: "this address does not take this method; GET /openapi.json says which it takes",
}
A_TIME = "write it with its zone, as 2026-11-20T00:00:00Z; in an address a + is written %2B"


class Refused(Exception):
    """Ends a request with a problem; `detail` says what to do about it."""

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


def flaws(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What pydantic found wrong with a request, without what was sent. The first only: there can
    be as many as a body has names, and to list them all would take longer than to find them."""
    return [
        {"field": ".".join(str(part) for part in error["loc"]), "message": _message(error)}
        for error in errors[:MOST_FLAWS]
    ]


def _message(error: Mapping[str, Any]) -> str:
    kind = str(error["type"])
    if kind == "timezone_aware":
        return f"has no time zone; {A_TIME}"
    if kind.startswith("datetime"):
        return f"is no time; {A_TIME}"
    return str(error["msg"])


def answer(
    status: int,
    detail: str,
    errors: Sequence[dict[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A refusal as its answer."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": list(errors),
    }
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every refusal of `app` a problem."""

    @app.exception_handler(Refused)
    def _refused(_request: Request, error: Refused) -> JSONResponse:
        return answer(error.status, error.detail, error.errors, error.headers)

    @app.exception_handler(NotAllowed)
    def _not_allowed(_request: Request, error: NotAllowed) -> JSONResponse:
        return answer(409, error.reason)

    @app.exception_handler(ClientDisconnect)
    def _gone(request: Request, _error: ClientDisconnect) -> JSONResponse:
        log.info("client_went_away", path=request.url.path)
        return answer(400, "the request broke off")

    @app.exception_handler(HTTPException)
    def _http(_request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if detail == HTTPStatus(error.status_code).phrase:  # nobody has said more
            detail = _UNSAID.get(error.status_code, detail)
        return answer(error.status_code, detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(422, WRONG_FORM, flaws(error.errors()))
