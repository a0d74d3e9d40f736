"""Authentication that each route requires, read from the routes themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from trackfarm.access import Scope
from trackfarm.wire import PREFIX
from trackfarm_scheduler.api.auth import Needs, calling_worker, joining

HEARTBEAT = f"{PREFIX}/heartbeat"


class Pass(StrEnum):
    """The kind of authentication that a route requires."""

    NOTHING = "nothing"
    SIGNATURE = "signature"
    JOIN_TOKEN = "join token"  # noqa: S105 - a name, not a token
    WORKER_TOKEN = "worker token"  # noqa: S105
    KEY = "key"


# Routes that authenticate by themselves or need no authentication. All others must declare it.
_BARE = {
    HEARTBEAT: Pass.WORKER_TOKEN,
    "/health": Pass.NOTHING,
    "/healthz": Pass.NOTHING,
    "/objects/{key:path}": Pass.SIGNATURE,
}


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one path. `opened_by` None means an undeclared route, which is a mistake."""

    method: str
    path: str
    opened_by: Pass | None
    scope: Scope | None = None


def doors_of(app: FastAPI) -> Iterator[Door]:
    """Yield every method of every route."""
    for context in iter_route_contexts(app.routes):
        opened_by, scope = _declared(context)
        for method in sorted(context.methods or ()):
            yield Door(method, context.path or "", opened_by, scope)


def _declared(context: RouteContext) -> tuple[Pass | None, Scope | None]:
    route = context.original_route
    if isinstance(route, APIRoute):
        for call in _calls(route.dependant):
            if isinstance(call, Needs):
                return Pass.KEY, call.scope
            if call is calling_worker:
                return Pass.WORKER_TOKEN, None
            if call is joining:
                return Pass.JOIN_TOKEN, None
    return _BARE.get(context.path or ""), None


def _calls(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)
