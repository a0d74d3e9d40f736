"""Authentication: programs by API key, workers by their own token, new workers by a join token."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from trackfarm.protocol.accounts import Scope
from trackfarm.protocol.worker import WORKER_PREFIX
from trackfarm_scheduler.api import rate_limit
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.auth.credential_cache import ApiKeyCache, TokenCache
from trackfarm_scheduler.db import registration
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.policy.identity import Actor, Caller, Identity
from trackfarm_scheduler.services import Services

JOIN_REFUSED = (
    "this join token is not valid (any more): check TRACKFARM_WORKER_JOIN_TOKEN, or ask the operator"
    " for a new invitation (`trackfarm workers invite`)"
)
BEARER = {"WWW-Authenticate": "Bearer"}
BASIC = {"WWW-Authenticate": 'Basic realm="trackfarm: any name, an API key as password"'}


# Dependencies that do no I/O are coroutines: FastAPI would run a plain function in a thread.
async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


TheServices = Annotated[Services, Depends(get_services)]


async def get_key_cache(request: Request) -> ApiKeyCache:
    key_cache: ApiKeyCache = request.app.state.key_cache
    return key_cache


TheKeyCache = Annotated[ApiKeyCache, Depends(get_key_cache)]


def bearer(request: Request) -> str:
    """Return the bearer token of the Authorization header. Raises ApiError (401)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(401, "send the key as `Authorization: Bearer <key>`", headers=BEARER)
    return token.strip()


def _basic_auth_key(request: Request) -> str:
    """Return the key that a browser's login dialog sends: the password of HTTP Basic."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer(request)
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        raise ApiError(401, "the Basic Authorization header is malformed", headers=BASIC) from None


async def authenticate_key(request: Request, token: str) -> Caller:
    """Return the holder of this key, counted once per request against its rate limit."""
    cached: Caller | None = getattr(request.state, "caller", None)
    if cached is not None:
        return cached
    identity = await _identity(request, token)
    rate_limit.count_key_request(request, identity)
    address, request_id = rate_limit.address_of(request), getattr(request.state, "request_id", "")
    request.state.caller = Caller(identity, address, request_id)
    caller: Caller = request.state.caller
    return caller


async def _identity(request: Request, token: str) -> Identity:
    key_cache, digest = await get_key_cache(request), digest_of(token)
    identity = key_cache.get(digest)
    if identity is None:
        rate_limit.refuse_repeated_failures(request, was_valid=key_cache.was_valid(digest))
        identity = await run_in_threadpool(key_cache.look_up, digest)
    if identity is None:
        rate_limit.count_failed_login(request)
        detail = "this API key is unknown, expired or revoked; check TRACKFARM_API_KEY"
        raise ApiError(401, detail, headers=BEARER)
    return identity


async def require_credentials(request: Request, *, token: str | None = None) -> None:
    """Raise ApiError unless the caller has a valid API key or worker token, whatever its scope.

    `token` replaces the one in the header.
    """
    token = token or bearer(request)
    if request.url.path.startswith(f"{WORKER_PREFIX}/"):
        await _worker_of(request, token)
    else:
        await _identity(request, token)


@dataclass(frozen=True)
class RequireScope:
    """Dependency that requires a key with `scope`.

    With `browser`, the key may also come as the password of HTTP Basic.
    """

    scope: Scope
    browser: bool = False

    async def __call__(self, request: Request) -> Caller:
        return await self.admit(request, await self.token_of(request))

    async def admit(self, request: Request, token: str) -> Caller:
        """Return the holder of a key with this scope. Raises ApiError."""
        caller = await authenticate_key(request, token)
        if not caller.identity.may(self.scope):
            raise ApiError(403, f"this key lacks the scope `{self.scope}`; ask for one that has it")
        return caller

    async def token_of(self, request: Request) -> str:
        """Return the token that the request carries. Raises ApiError."""
        if not self.browser:
            return bearer(request)
        if "authorization" not in request.headers:
            raise ApiError(401, "send an API key as the password", headers=BASIC)
        return _basic_auth_key(request)


Reader = Annotated[Caller, Depends(RequireScope(Scope.READ))]
Submitter = Annotated[Caller, Depends(RequireScope(Scope.SUBMIT))]
Operator = Annotated[Caller, Depends(RequireScope(Scope.OPERATE))]
Admin = Annotated[Caller, Depends(RequireScope(Scope.ADMIN))]


async def joining(request: Request, services: TheServices) -> str:
    """Return the token of a worker that wants to register; `db.registration` decides its rights.

    Runs before the body is validated, so that an unauthenticated client learns nothing from
    validation errors. Raises ApiError.
    """
    rate_limit.refuse_repeated_failures(request, was_valid=False)
    token = bearer(request)
    if not await run_in_threadpool(_opens, services, token):
        rate_limit.count_failed_login(request)
        raise ApiError(401, JOIN_REFUSED, headers=BEARER)
    return token


def _opens(services: Services, token: str) -> bool:
    join_token = services.settings.join_token.get_secret_value()
    with services.database.read() as session:
        return registration.may_admit(session, token, services.clock(), join_token=join_token)


JoiningToken = Annotated[str, Depends(joining)]


async def get_token_cache(request: Request) -> TokenCache:
    token_cache: TokenCache = request.app.state.token_cache
    return token_cache


TheTokenCache = Annotated[TokenCache, Depends(get_token_cache)]


# Has few dependencies of its own, because FastAPI resolves each of them for every request.
async def authenticate_worker(request: Request) -> WorkerRow:
    worker = await _worker_of(request, bearer(request))
    rate_limit.count_worker_request(request, worker.id)
    return worker


async def _worker_of(request: Request, token: str) -> WorkerRow:
    token_cache = await get_token_cache(request)
    worker = token_cache.get(token)
    if worker is None:
        rate_limit.refuse_repeated_failures(request, was_valid=token_cache.was_valid(token))
        worker = await run_in_threadpool(token_cache.look_up, token)
    if worker is None:
        rate_limit.count_failed_login(request)
        detail = "this worker token is no longer valid; register again"
        raise ApiError(401, detail, headers=BEARER)
    return worker


CallingWorker = Annotated[WorkerRow, Depends(authenticate_worker)]


def worker_actor(request: Request, worker: WorkerRow) -> Actor:
    """Return the worker as the actor of an audit entry."""
    return Actor(
        worker_id=worker.id,
        address=rate_limit.address_of(request),
        request_id=getattr(request.state, "request_id", ""),
    )
