"""Who is calling: the operator by API key, a worker by its own token, a new one by what lets it join."""

import secrets
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.badges import Badges
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store.tables import Worker


# What asks nobody is a coroutine: a plain function would be sent to a thread for each request.
async def the_farm(request: Request) -> Farm:
    farm: Farm = request.app.state.farm
    return farm


TheFarm = Annotated[Farm, Depends(the_farm)]


def bearer(request: Request) -> str:
    """The token of the request's Authorization header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "send the key as `Authorization: Bearer <key>`")
    return token.strip()


def _same(given: str, secret: SecretStr) -> bool:
    return secrets.compare_digest(given.encode(), secret.get_secret_value().encode())


async def operator(request: Request, farm: TheFarm) -> str:
    """The owner on whose behalf the caller acts."""
    if not _same(bearer(request), farm.settings.api_key):
        raise Refused(401, "this API key is not known here; check TRACKFARM_API_KEY")
    return "operator"


Operator = Annotated[str, Depends(operator)]


async def joining(request: Request) -> str:
    """What a worker shows that wants to join; `store.admission` says what it is worth."""
    return bearer(request)


JoiningToken = Annotated[str, Depends(joining)]


async def the_badges(request: Request) -> Badges:
    badges: Badges = request.app.state.badges
    return badges


TheBadges = Annotated[Badges, Depends(the_badges)]


# Asks for as little as it can: each dependency of a dependency is resolved for every request.
async def calling_worker(request: Request) -> Worker:
    token, badges = bearer(request), await the_badges(request)
    worker = badges.remembered(token) or await run_in_threadpool(badges.look_up, token)
    if worker is None:
        raise Refused(401, "this worker token is not valid any more; register again")
    return worker


CallingWorker = Annotated[Worker, Depends(calling_worker)]
