"""A whole job in one answer: its files as a ZIP, its tracks as a table or a playlist."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterator
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, cast
from urllib.parse import quote

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from trackfarm.api import PREFIX
from trackfarm.filenames import job_file
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.auth import Reader, TheFarm
from trackfarm_scheduler.api.outflow import Outflow
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.api.references import find_job
from trackfarm_scheduler.exports import tracks
from trackfarm_scheduler.exports.tracks import Wanted
from trackfarm_scheduler.farm import Farm

OF_A_KEY, OF_ALL = 2, 8
THREADS = 4  # of their own: however many load a job, other requests find theirs free
AGAIN_SECONDS = 30
DOWNLOAD = timedelta(hours=1)
MOST_ORDINAL = 2**31 - 1
ZIP, CSV, M3U = "application/zip", "text/csv", "audio/x-mpegurl"
router = APIRouter(prefix=f"{PREFIX}/jobs/{{reference}}", tags=["operator"])
Ordinal = Annotated[int, Query(ge=1, le=MOST_ORDINAL)]


class Exports:
    """How many are loaded now, by whom. Used from one event loop."""

    def __init__(self) -> None:
        self.threads = CapacityLimiter(THREADS)
        self._running: Counter[str] = Counter()

    def enter(self, key_id: str) -> None:
        """Raises Refused (429)."""
        if self._running[key_id] >= OF_A_KEY or self._running.total() >= OF_ALL:
            detail = f"a key may load {OF_A_KEY} jobs at once, all keys {OF_ALL}; wait for one"
            raise Refused(429, detail, headers={"Retry-After": str(AGAIN_SECONDS)})
        self._running[key_id] += 1

    def leave(self, key_id: str) -> None:
        self._running[key_id] -= 1
        self._running += Counter()  # forgets keys that load nothing


def _binary(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "Streamed", "content": {media_type: {}}}}


@router.get("/artifacts.zip", responses=_binary(ZIP), response_class=Response)
async def artifacts(
    reference: str,
    request: Request,
    farm: TheFarm,
    caller: Reader,
    first: Ordinal = 1,
    last: Ordinal | None = None,
) -> Response:
    """The finished tracks and `manifest.csv`, stored and not compressed; of the catalog's tracks
    `first` to `last`, at most 100,000 at once. What broke off goes on with another `first`: a Range
    is refused (416)."""
    if "range" in request.headers:
        detail = "an archive is made while it is sent, and has no ranges; ask for ?first=…&last=…"
        raise Refused(416, detail, headers={"Accept-Ranges": "none"})
    if last is not None and last < first:
        flaw = {"field": "query.last", "message": f"comes before first, which is {first}"}
        raise Refused(422, "there is nothing between first and last", [flaw])
    wanted, name = await run_in_threadpool(_wanted, farm, caller, reference, first, last)
    if wanted.number > tracks.MOST:
        detail = (
            f"an archive holds at most {tracks.MOST:,} tracks, and these are {wanted.number:,};"
            " ask for ?first=…&last=… one part after the other"
        )
        raise Refused(422, detail)
    made = tracks.archive(farm.database, farm.objects, wanted)
    return _sent(request, caller, made, ZIP, f"{name}.zip")


@router.get("/tracks.csv", responses=_binary(CSV), response_class=Response)
async def table(reference: str, request: Request, farm: TheFarm, caller: Reader) -> Response:
    """All tracks, one line each."""
    wanted, name = await run_in_threadpool(_wanted, farm, caller, reference)
    made = tracks.table(farm.database, wanted)
    return _sent(request, caller, made, f"{CSV}; charset=utf-8", f"{name}.csv")


@router.get("/tracks.m3u", responses=_binary(M3U), response_class=Response)
async def playlist(reference: str, request: Request, farm: TheFarm, caller: Reader) -> Response:
    """The finished tracks for a player; the addresses in it live for an hour."""

    def address_of(key: str) -> str:
        return farm.objects.presign_get(key, expires=DOWNLOAD).url

    wanted, name = await run_in_threadpool(_wanted, farm, caller, reference)
    made = tracks.playlist(farm.database, wanted, address_of)
    return _sent(request, caller, made, f"{M3U}; charset=utf-8", f"{name}.m3u")


def _wanted(
    farm: Farm, caller: Caller, reference: str, first: int = 1, last: int | None = None
) -> tuple[Wanted, str]:
    """What to send, and the name for it without its ending."""
    with farm.database.read() as session:
        job = find_job(session, caller, reference)
        wanted = Wanted(job.id, job.track_count, first, last)
        return wanted, job_file(job.id, job.catalog, "")


def _sent(
    request: Request, caller: Caller, made: Iterator[bytes], media_type: str, name: str
) -> Response:
    exports: Exports = request.app.state.exports
    key_id = caller.identity.key_id
    exports.enter(key_id)
    source = _in_threads(cast(Generator[bytes], made), exports.threads)
    headers = {
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}",
        "Accept-Ranges": "none",
    }
    leave = partial(exports.leave, key_id)
    return Outflow(source, media_type=media_type, headers=headers, on_end=leave)


async def _in_threads(source: Generator[bytes], threads: CapacityLimiter) -> AsyncGenerator[bytes]:
    """The source, each piece made in one of these threads; it is closed when nobody wants more."""
    try:
        while chunk := await to_thread.run_sync(next, source, b"", limiter=threads):
            yield chunk
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(source.close, limiter=threads)
