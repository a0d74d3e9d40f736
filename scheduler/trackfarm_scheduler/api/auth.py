"""Who is calling: the operator by API key, a worker by its own token, a new one by join token."""

import secrets
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import SecretStr

from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import workers
from trackfarm_scheduler.store.tables import Worker


def the_farm(request: Request) -> Farm:
    farm: Farm = request.app.state.farm
    return farm


TheFarm = Annotated[Farm, Depends(the_farm)]


def bearer(authorization: Annotated[str, Header()] = "") -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "send the key as `Authorization: Bearer <key>`")
    return token.strip()


Bearer = Annotated[str, Depends(bearer)]


def _same(given: str, secret: SecretStr) -> bool:
    return secrets.compare_digest(given.encode(), secret.get_secret_value().encode())


def operator(farm: TheFarm, token: Bearer) -> str:
    """The owner on whose behalf the caller acts."""
    if not _same(token, farm.settings.api_key):
        raise Refused(401, "this API key is not known here; check TRACKFARM_API_KEY")
    return "operator"


Operator = Annotated[str, Depends(operator)]


def joining(farm: TheFarm, token: Bearer) -> None:
    if not _same(token, farm.settings.join_token):
        raise Refused(401, "this join token is not valid; check TRACKFARM_WORKER_JOIN_TOKEN")


def calling_worker(farm: TheFarm, token: Bearer) -> Worker:
    with farm.database.read() as session:
        worker = workers.by_token(session, token)
    if worker is None:
        raise Refused(401, "this worker token is not valid any more; register again")
    return worker


CallingWorker = Annotated[Worker, Depends(calling_worker)]
