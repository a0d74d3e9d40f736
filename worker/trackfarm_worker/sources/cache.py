"""Source cache of one shard: each source is fetched and decoded once, however many tracks use
it."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trackfarm.catalog.source_refs import UPLOAD, SourceField, is_url
from trackfarm.net.ssrf import EgressPolicy
from trackfarm.protocol.worker import TrackOrder
from trackfarm_worker.sources.protocol import (
    PreparedSource,
    SourceLimits,
    SourceOrder,
    SourceRefused,
    SourceResult,
    SourceUnavailable,
)
from trackfarm_worker.sources.sandbox import prepare

LENGTH_TOLERANCE = 1.0  # seconds
CONCURRENT_FETCHES = 3  # concurrent fetches, which mostly wait for the network
MAX_SHARD_BYTES = 8_000_000_000  # of decoded audio: 35 sources of 600 s
DEFAULT_LIMITS = SourceLimits()
PUBLIC_ONLY = EgressPolicy()


@dataclass(frozen=True, slots=True)
class TrackSources:
    """Local files of a track's sources. `seconds`: time to fetch and decode them, counted for the
    first track that needs them."""

    source: Path | None = None
    reference: Path | None = None
    seconds: float = 0.0


TrackSourcesResult = TrackSources | SourceRefused | SourceUnavailable


class SourceCache:
    """Source cache; one folder per shard below `spool`. Thread-safe."""

    def __init__(
        self,
        spool: Path,
        *,
        limits: SourceLimits = DEFAULT_LIMITS,
        policy: EgressPolicy = PUBLIC_ONLY,
        max_shard_bytes: int = MAX_SHARD_BYTES,
        ca_file: Path | None = None,
    ) -> None:
        self._spool = spool
        self._limits = limits
        self._policy = policy
        self._max_shard_bytes = max_shard_bytes
        self._ca_file = str(ca_file or "")

    @contextmanager
    def prepared(
        self, shard: str, orders: Sequence[TrackOrder], is_cancelled: Callable[[], bool]
    ) -> Iterator[Mapping[int, TrackSourcesResult]]:
        """Yield the outcome for the sources of each track, by track id; the files exist until the
        block ends.

        Once `is_cancelled` returns True, pending sources are not waited for.
        """
        folder = self._spool / f"sources-{shard}"
        urls = _urls_by_reference(orders)
        try:
            if urls:
                folder.mkdir()
            fetcher = _Fetcher(
                folder,
                self._limits,
                self._policy,
                self._max_shard_bytes,
                is_cancelled,
                self._ca_file,
            )
            with ThreadPoolExecutor(CONCURRENT_FETCHES, "source") as pool:
                fetched = dict(zip(urls, pool.map(fetcher.fetch, urls.items()), strict=True))
            yield dict(_by_track(orders, fetched))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _FetchedSource:
    result: SourceResult
    seconds: float


class _Fetcher:
    """Fetcher for one shard."""

    def __init__(
        self,
        folder: Path,
        limits: SourceLimits,
        policy: EgressPolicy,
        max_bytes: int,
        is_cancelled: Callable[[], bool],
        ca_file: str,
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._policy = policy
        self._max_bytes = max_bytes
        self._ca_file = ca_file
        self._gave_up = is_cancelled

    def fetch(self, item: tuple[str, str]) -> _FetchedSource:
        reference, url = item
        started_at = time.monotonic()
        result = self._prepare(reference, url)
        return _FetchedSource(result, time.monotonic() - started_at)

    def _prepare(self, reference: str, url: str) -> SourceResult:
        if self._gave_up():
            return SourceUnavailable("its download or decoding was cancelled")
        if sum(path.stat().st_size for path in self._folder.glob("*.npy")) > self._max_bytes:
            return SourceUnavailable(
                "the sources of this shard need too much disk space", is_disk_full=True
            )
        stem = hashlib.sha256(reference.encode()).hexdigest()[:16]
        order = SourceOrder(
            url=url,
            download=self._folder / f"{stem}.in",
            target=self._folder / f"{stem}.npy",
            sha256=reference.removeprefix(UPLOAD) if reference.startswith(UPLOAD) else None,
            is_signed=not is_url(reference),
            ca_file=self._ca_file,
            limits=self._limits,
            policy=self._policy,
        )
        return prepare(order, self._gave_up)


def _urls_by_reference(orders: Sequence[TrackOrder]) -> dict[str, str]:
    """Return the URLs by the reference in the brief: a signed URL differs each time, the reference
    does not."""
    return {
        reference: order.source_urls[field]
        for order in orders
        for field, reference in order.brief.sources()
        if field in order.source_urls
    }


def _by_track(
    orders: Sequence[TrackOrder], fetched: Mapping[str, _FetchedSource]
) -> Iterator[tuple[int, TrackSourcesResult]]:
    counted_references: set[str] = set()
    for order in orders:
        sources = dict(order.brief.sources())
        first = (set(sources.values()) - counted_references) & set(fetched)
        counted_references |= first
        results = {field: _result_for(sources[field], fetched) for field in sources}
        seconds = sum(fetched[reference].seconds for reference in first)
        yield order.track_id, _track_sources(results, order.brief.duration, seconds)


def _result_for(reference: str, fetched: Mapping[str, _FetchedSource]) -> SourceResult:
    if reference not in fetched:
        return SourceRefused("the scheduler sent no URL for it")
    return fetched[reference].result


def _track_sources(
    results: Mapping[SourceField, SourceResult], duration: float, seconds: float
) -> TrackSourcesResult:
    ready: dict[SourceField, Path] = {}
    for field, result in results.items():
        match result:
            case PreparedSource(path=path):
                ready[field] = path
            case SourceRefused(message=message):
                return SourceRefused(f"{field}: {message}")
            case SourceUnavailable(message=message, is_disk_full=is_disk_full):
                return SourceUnavailable(f"{field}: {message}", is_disk_full)
    if problem := _length_problem(results.get("src_audio"), duration):
        return SourceRefused(f"src_audio: {problem}")
    return TrackSources(ready.get("src_audio"), ready.get("reference_audio"), seconds)


def _length_problem(source: SourceResult | None, duration: float) -> str | None:
    """Return why the source's length does not fit, or None. The track would get the source's
    length, but was planned, placed and priced by the brief's."""
    if not isinstance(source, PreparedSource) or abs(source.seconds - duration) <= LENGTH_TOLERANCE:
        return None
    length = f"{source.seconds:.1f} s"
    return f"it is {length} long, but the brief says {duration:g} s; set duration to {length[:-2]}"
