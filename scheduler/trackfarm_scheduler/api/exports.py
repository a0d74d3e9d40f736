"""Export of a whole job: its files as a ZIP, its tracks as a table or a playlist."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterator
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, cast
from urllib.parse import quote

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from trackfarm.listings import job_file
from trackfarm.protocol.operator import API_PREFIX
from trackfarm_scheduler.api.auth import Reader, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.jobs import find_job
from trackfarm_scheduler.api.streaming import SlowClientStreamingResponse
from trackfarm_scheduler.exports import tracks
from trackfarm_scheduler.exports.tracks import TrackRange
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services

MAX_PER_KEY, MAX_TOTAL = 2, 8
THREADS = 4  # separate from the request threads, so that downloads never block other requests
RETRY_AFTER_SECONDS = 30
DOWNLOAD = timedelta(hours=1)
MOST_ORDINAL = 2**31 - 1
ZIP, CSV, M3U = "application/zip", "text/csv", "audio/x-mpegurl"
router = APIRouter(prefix=f"{API_PREFIX}/jobs/{{reference}}", tags=["operator"])
Ordinal = Annotated[int, Query(ge=1, le=MOST_ORDINAL)]


class RunningDownloads:
    """Running downloads by key. Used from one event loop."""

    def __init__(self) -> None:
        self.threads = CapacityLimiter(THREADS)
        self._running: Counter[str] = Counter()

    def enter(self, key_id: str) -> None:
        """Count a download of a key. Raises ApiError (429) at the limit."""
        if self._running[key_id] >= MAX_PER_KEY or self._running.total() >= MAX_TOTAL:
            detail = (
                f"too many downloads at once: at most {MAX_PER_KEY} per key and {MAX_TOTAL} in all;"
                " wait for one to finish"
            )
            raise ApiError(429, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        self._running[key_id] += 1

    def leave(self, key_id: str) -> None:
        self._running[key_id] -= 1
        self._running += Counter()  # drops keys without downloads


def _binary(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "The file, streamed", "content": {media_type: {}}}}


@router.get("/artifacts.zip", responses=_binary(ZIP), response_class=Response)
async def artifacts(
    reference: str,
    request: Request,
    services: TheServices,
    caller: Reader,
    first: Ordinal = 1,
    last: Ordinal | None = None,
) -> Response:
    """Download finished tracks and `manifest.csv` as an uncompressed ZIP file.

    `first` and `last` are ordinals of the catalog's tracks; one archive holds at most 100,000
    tracks. To resume an interrupted download, ask again with a higher `first`: Range requests are
    refused (416).
    """
    if "range" in request.headers:
        detail = "archives are generated while sent, without ranges; use ?first=…&last=… instead"
        raise ApiError(416, detail, headers={"Accept-Ranges": "none"})
    if last is not None and last < first:
        flaw = {"field": "query.last", "message": f"must not be less than first, which is {first}"}
        raise ApiError(422, "last is less than first", [flaw])
    track_range, name = await run_in_threadpool(
        _track_range, services, caller, reference, first, last
    )
    if track_range.number > tracks.MAX_TRACKS:
        detail = (
            f"an archive holds at most {tracks.MAX_TRACKS:,} tracks, and this one would have"
            f" {track_range.number:,}; download it in parts with ?first=…&last=…"
        )
        raise ApiError(422, detail)
    archive = tracks.archive(services.database, services.objects, track_range)
    return _stream(request, caller, archive, ZIP, f"{name}.zip")


@router.get("/tracks.csv", responses=_binary(CSV), response_class=Response)
async def table(
    reference: str, request: Request, services: TheServices, caller: Reader
) -> Response:
    """Download a table of all tracks of a job as CSV, one line per track."""
    track_range, name = await run_in_threadpool(_track_range, services, caller, reference)
    rows = tracks.table(services.database, track_range)
    return _stream(request, caller, rows, f"{CSV}; charset=utf-8", f"{name}.csv")


@router.get("/tracks.m3u", responses=_binary(M3U), response_class=Response)
async def playlist(
    reference: str, request: Request, services: TheServices, caller: Reader
) -> Response:
    """Download a playlist (M3U) of the finished tracks; its URLs are valid for one hour."""

    def address_of(key: str) -> str:
        return services.objects.presign_get(key, expires=DOWNLOAD).url

    track_range, name = await run_in_threadpool(_track_range, services, caller, reference)
    lines = tracks.playlist(services.database, track_range, address_of)
    return _stream(request, caller, lines, f"{M3U}; charset=utf-8", f"{name}.m3u")


def _track_range(
    services: Services, caller: Caller, reference: str, first: int = 1, last: int | None = None
) -> tuple[TrackRange, str]:
    """Return the selected tracks, and the file name without its extension."""
    with services.database.read() as session:
        job = find_job(session, caller, reference)
        track_range = TrackRange(job.id, job.track_count, first, last)
        return track_range, job_file(job.id, job.catalog, "")


def _stream(
    request: Request, caller: Caller, chunks: Iterator[bytes], media_type: str, name: str
) -> Response:
    exports: RunningDownloads = request.app.state.downloads
    key_id = caller.identity.key_id
    exports.enter(key_id)
    source = _in_threads(cast(Generator[bytes], chunks), exports.threads)
    headers = {
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}",
        "Accept-Ranges": "none",
    }
    leave = partial(exports.leave, key_id)
    return SlowClientStreamingResponse(source, media_type=media_type, headers=headers, on_end=leave)


async def _in_threads(source: Generator[bytes], threads: CapacityLimiter) -> AsyncGenerator[bytes]:
    """Yield the source's chunks, made in one of these threads; close it when the client stops."""
    try:
        while chunk := await to_thread.run_sync(next, source, b"", limiter=threads):
            yield chunk
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(source.close, limiter=threads)
