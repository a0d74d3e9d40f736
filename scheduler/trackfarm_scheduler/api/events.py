"""Server-sent events: of one job, or of all jobs that a key may see."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import API_PREFIX
from trackfarm_scheduler.api.auth import Reader, TheServices, bearer, get_key_cache
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.jobs import find_job
from trackfarm_scheduler.api.pagination import EventFilter, set_next_link
from trackfarm_scheduler.api.streaming import SlowClientStreamingResponse
from trackfarm_scheduler.db import event_feed
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.events import reader
from trackfarm_scheduler.events.broadcaster import EventBroadcaster, TooManyStreams
from trackfarm_scheduler.events.sse import HEARTBEAT, Subscriber, last_event_id
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
PAGE = 500
RETRY_AFTER_SECONDS = 30
HEADERS = {"X-Accel-Buffering": "no"}  # otherwise nginx buffers the events
router = APIRouter(prefix=API_PREFIX, tags=["operator"])
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events as they happen", "content": {MEDIA_TYPE: {}}}
}


@router.get("/jobs/{reference}/events", responses=_ANSWER, response_class=Response)
async def job_events(
    reference: str, request: Request, services: TheServices, caller: Reader
) -> Response:
    """Stream the progress, tracks and states of one job as server-sent events.

    `Last-Event-ID` resumes after an event; without it, only new events are sent.
    """
    job_id = await run_in_threadpool(_job_id, services, caller, reference)
    return await stream(request, services, caller, Subscriber(job=job_id, owner=caller.sees))


@router.get("/events", responses=_ANSWER, response_model=list[operator_api.EventInfo])
async def list_events(
    request: Request,
    response: Response,
    services: TheServices,
    caller: Reader,
    filters: Annotated[EventFilter, Query()],
) -> list[operator_api.EventInfo] | Response:
    """List events, oldest first, starting after the event with the id `after`.

    With `Accept: text/event-stream`, streams the events of all your jobs as server-sent events
    instead; the query parameters are then ignored, and `Last-Event-ID` resumes after an event.
    """
    if MEDIA_TYPE in request.headers.get("accept", ""):
        return await stream(request, services, caller, Subscriber(job=None, owner=caller.sees))
    page = await run_in_threadpool(_events, services, caller, filters)
    if len(page) == filters.limit:
        set_next_link(request, response, after=page[-1].id)
    return page


async def stream(
    request: Request, services: Services, caller: Caller, subscriber: Subscriber
) -> Response:
    """Return a response that streams the subscriber's events. Raises ApiError (429)."""
    broadcaster: EventBroadcaster = request.app.state.broadcaster
    try:
        newest = await broadcaster.subscribe(subscriber, caller.identity.key_id)
    except TooManyStreams:
        detail = "this key has reached its limit of event streams; close one"
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        raise ApiError(429, detail, headers=headers) from None
    last_id = last_event_id(request.headers.get("last-event-id"))
    after = newest if last_id is None else min(last_id, newest)
    source = _frames(services, broadcaster, subscriber, after, newest, _key_check(request))
    unsubscribe = partial(broadcaster.unsubscribe, subscriber)
    return SlowClientStreamingResponse(
        source, media_type=MEDIA_TYPE, headers=HEADERS, on_end=unsubscribe
    )


async def _frames(
    services: Services,
    broadcaster: EventBroadcaster,
    subscriber: Subscriber,
    after: int,
    newest: int,
    key_is_valid: Callable[[], Coroutine[Any, Any, bool]],
) -> AsyncGenerator[bytes]:
    if subscriber.job is not None:
        yield await run_in_threadpool(broadcaster.progress, subscriber.job)
    while after < newest:
        after, text = await run_in_threadpool(_replayed, services, subscriber, after, newest)
        yield text
    while not subscriber.is_over:
        text = await subscriber.next(HEARTBEAT_SECONDS)
        if not text and not await key_is_valid():
            return
        if not subscriber.is_over:
            yield text or HEARTBEAT


def _replayed(
    services: Services, subscriber: Subscriber, after: int, newest: int
) -> tuple[int, bytes]:
    """Return the id up to which the next page of past events reaches, and the page as frames."""
    with services.database.read() as session:
        page = reader.replay(
            session,
            after=after,
            until=newest,
            limit=PAGE,
            job=subscriber.job,
            owner=subscriber.owner,
        )
    texts = [
        each.by_job.get(subscriber.job, b"") if subscriber.job else each.whole for each in page
    ]
    return page[-1].number if len(page) == PAGE else newest, b"".join(texts)


def _key_check(request: Request) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Return a check that the key with which the stream was opened is still valid."""
    digest = digest_of(bearer(request))

    async def ask() -> bool:
        key_cache = await get_key_cache(request)
        if key_cache.get(digest) is not None:
            return True
        return await run_in_threadpool(key_cache.look_up, digest) is not None

    return ask


def _job_id(services: Services, caller: Caller, reference: str) -> str:
    with services.database.read() as session:
        return find_job(session, caller, reference).id


def _events(
    services: Services, caller: Caller, filters: EventFilter
) -> list[operator_api.EventInfo]:
    with services.database.read() as session:
        return event_feed.list_page(
            session,
            job=find_job(session, caller, filters.job).id if filters.job else None,
            after=filters.after,
            limit=filters.limit,
            owner=caller.sees,
            kinds=filters.kind,
            between=filters.between,
        )
