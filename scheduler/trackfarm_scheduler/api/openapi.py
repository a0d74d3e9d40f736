"""OpenAPI description: the one that FastAPI generates, corrected and completed with examples, errors,
and the authentication that each route requires."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from trackfarm.protocol.base import ProblemDetails
from trackfarm.protocol.operator import API_PREFIX, NDJSON, SubmitAnswer
from trackfarm.protocol.worker import HeartbeatAnswer, HeartbeatRequest
from trackfarm_scheduler.api.errors import MEDIA_TYPE
from trackfarm_scheduler.api.idempotency import HEADER
from trackfarm_scheduler.api.route_auth import HEARTBEAT, AuthKind, RouteAuth, route_auths

_REF = "#/components/schemas/{model}"
_PROBLEM = {"schema": {"$ref": _REF.format(model=ProblemDetails.__name__)}}
_SCHEMES = {
    AuthKind.KEY: "An API key. The `x-scope` of an operation is the scope that the key needs.",
    AuthKind.WORKER_TOKEN: "The worker token that `register` returned.",
    AuthKind.JOIN_TOKEN: (
        "The farm's join token, the token of an invitation, or the previous token of a worker that"
        " was restarted."
    ),
}
_REFUSALS = {
    "400": "The request is malformed",
    "401": "The key is missing, unknown, expired or revoked",
    "404": "Not found, or not visible to this key",
    "409": "The request conflicts with the current state",
    "422": "The request does not match the schema, or asks for something impossible",
    "429": "Too many requests; Retry-After gives the seconds to wait",
}
# Added for `/api/v1` only: other routes declare these themselves or never return them.
_OPERATOR_ONLY = ("404", "409")
_HEADER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": (
        "Makes the request safe to repeat: for a day, the same request with the same value is carried"
        " out once and gets the same response."
    ),
}


class DescribedApp(FastAPI):
    """An application with authentication, errors and streams in its OpenAPI description."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _complete(super().openapi(), list(route_auths(self)))
        return super().openapi()


def _complete(description: dict[str, Any], routes: list[RouteAuth]) -> None:
    parts = description.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    _, definitions = models_json_schema(
        [(m, "serialization") for m in (ProblemDetails, HeartbeatAnswer)]
        + [(HeartbeatRequest, "validation")],
        ref_template=_REF,
    )
    schemas.update(definitions["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    parts["securitySchemes"] = {
        _scheme(kind): {"type": "http", "scheme": "bearer", "description": text}
        for kind, text in _SCHEMES.items()
    }
    description["paths"][HEARTBEAT] = {"post": _heartbeat()}
    for route, operation in _operations(description, routes):
        _secure(route, operation)
    _describe_submission(description["paths"][f"{API_PREFIX}/jobs"]["post"])
    _exemplify(description)


@cache
def examples() -> dict[str, dict[str, Any]]:
    """Read the examples of the description.

    `schemas`: one example for each schema, by its name; `bodies`: request bodies without a named
    schema, by path; `refusals`: error responses, by status.
    """
    content: dict[str, dict[str, Any]] = json.loads(
        (files("trackfarm_scheduler.api") / "examples.json").read_text("utf-8")
    )
    return content


def _exemplify(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    for name, example in examples()["schemas"].items():
        schemas[name]["examples"] = [example]
    for path, body in examples()["bodies"].items():
        for content in description["paths"][path]["post"]["requestBody"]["content"].values():
            content["example"] = body


def _operations(
    description: dict[str, Any], routes: list[RouteAuth]
) -> Iterator[tuple[RouteAuth, dict[str, Any]]]:
    for route in routes:
        operation = description["paths"].get(route.path, {}).get(route.method.lower())
        if operation is not None:
            yield route, operation


def _secure(route: RouteAuth, operation: dict[str, Any]) -> None:
    refusals = dict(_REFUSALS)
    if route.kind is not None:
        operation["security"] = [{_scheme(route.kind): []}]
    if route.scope is not None:
        refusals["403"] = f"The key lacks the scope `{route.scope}`"
        operation["x-scope"] = route.scope.value
    if not route.path.startswith(API_PREFIX):
        refusals = {status: refusals[status] for status in refusals if status not in _OPERATOR_ONLY}
    answers = operation["responses"]
    for status, text in refusals.items():
        example = {"example": examples()["refusals"][status]}
        answers[status] = {"description": text, "content": {MEDIA_TYPE: _PROBLEM | example}}
    answers["default"] = {"description": "Any other error", "content": {MEDIA_TYPE: _PROBLEM}}
    if route.method == "POST" and route.path.startswith(f"{API_PREFIX}/jobs"):
        operation.setdefault("parameters", []).append(_HEADER)


def _describe_submission(operation: dict[str, Any]) -> None:
    text = "The first line is the job header; each further line is one brief"
    operation["requestBody"] = {
        "required": True,
        "description": text,
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
    answer = {"application/json": {"schema": {"$ref": _REF.format(model=SubmitAnswer.__name__)}}}
    operation["responses"]["200"] = {
        "description": "The same catalog was submitted before; the response describes that job",
        "content": answer,
    }


def _heartbeat() -> dict[str, Any]:
    def content(model: type[HeartbeatAnswer] | type[HeartbeatRequest]) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}

    return {
        "tags": ["worker"],
        "summary": "Heartbeat",
        "description": (
            "Extend the leases that the worker still holds; the response has commands to stop the"
            " shards it no longer holds, or to drain."
        ),
        "operationId": "heartbeat",
        "requestBody": {"required": True, "content": content(HeartbeatRequest)},
        "responses": {
            "200": {
                "description": "The extended leases and the commands",
                "content": content(HeartbeatAnswer),
            }
        },
    }


def _scheme(kind: AuthKind) -> str:
    return kind.value.replace(" ", "_")
