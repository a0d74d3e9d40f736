"""Authentication that each route requires, read from the routes themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from trackfarm.protocol.accounts import Scope
from trackfarm.protocol.worker import WORKER_PREFIX
from trackfarm_scheduler.api.auth import RequireScope, authenticate_worker, joining

HEARTBEAT = f"{WORKER_PREFIX}/heartbeat"


class AuthKind(StrEnum):
    """The kind of authentication that a route requires."""

    NOTHING = "nothing"
    SIGNATURE = "signature"
    JOIN_TOKEN = "join token"  # noqa: S105 - a name, not a token
    WORKER_TOKEN = "worker token"  # noqa: S105
    KEY = "key"


# Routes that authenticate by themselves or need no authentication. All others must declare it.
_UNDECLARED = {
    HEARTBEAT: AuthKind.WORKER_TOKEN,
    "/health": AuthKind.NOTHING,
    "/healthz": AuthKind.NOTHING,
    "/objects/{key:path}": AuthKind.SIGNATURE,
}


@dataclass(frozen=True, slots=True)
class RouteAuth:
    """One method of one path. `kind` None means an undeclared route, which is a mistake."""

    method: str
    path: str
    kind: AuthKind | None
    scope: Scope | None = None


def route_auths(app: FastAPI) -> Iterator[RouteAuth]:
    """Yield every method of every route."""
    for context in iter_route_contexts(app.routes):
        kind, scope = _declared(context)
        for method in sorted(context.methods or ()):
            yield RouteAuth(method, context.path or "", kind, scope)


def _declared(context: RouteContext) -> tuple[AuthKind | None, Scope | None]:
    route = context.original_route
    if isinstance(route, APIRoute):
        for call in _calls(route.dependant):
            if isinstance(call, RequireScope):
                return AuthKind.KEY, call.scope
            if call is authenticate_worker:
                return AuthKind.WORKER_TOKEN, None
            if call is joining:
                return AuthKind.JOIN_TOKEN, None
    return _UNDECLARED.get(context.path or ""), None


def _calls(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)
