"""The sources of one shard: each fetched and decoded once, however many tracks use it."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trackfarm.catalog.sources import UPLOAD, SourceField, is_url, source_fields
from trackfarm.outgoing import Rules
from trackfarm.wire import TrackOrder
from trackfarm_worker.sources.answers import (
    Answer,
    Limits,
    Source,
    SourceAway,
    SourceOrder,
    SourceRefused,
)
from trackfarm_worker.sources.preparing import prepare

LENGTH_SLACK = 1.0  # seconds
AT_ONCE = 3  # most of the time is the network's
SHARD_BYTES = 8_000_000_000  # decoded; 35 sources of 600 s
NO_LIMITS_BUT_OURS = Limits()
PUBLIC_ONLY = Rules()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a track is made from. `seconds`: what its sources took, where it was the first to want
    them."""

    source: Path | None = None
    reference: Path | None = None
    seconds: float = 0.0


Preparation = Prepared | SourceRefused | SourceAway


class SourceRoom:
    """Below `spool`, one folder for each shard. Thread-safe."""

    def __init__(
        self,
        spool: Path,
        *,
        limits: Limits = NO_LIMITS_BUT_OURS,
        rules: Rules = PUBLIC_ONLY,
        shard_bytes: int = SHARD_BYTES,
        ca_file: Path | None = None,
    ) -> None:
        self._spool = spool
        self._limits = limits
        self._rules = rules
        self._shard_bytes = shard_bytes
        self._ca_file = str(ca_file or "")

    @contextmanager
    def prepared(
        self, shard: str, orders: Sequence[TrackOrder], gave_up: Callable[[], bool]
    ) -> Iterator[Mapping[int, Preparation]]:
        """What became of the sources of each track; their files are there until the block ends.

        Once `gave_up` says so, what is not there yet is not waited for.
        """
        folder = self._spool / f"sources-{shard}"
        wanted = _wanted(orders)
        try:
            if wanted:
                folder.mkdir()
            desk = _Desk(
                folder, self._limits, self._rules, self._shard_bytes, gave_up, self._ca_file
            )
            with ThreadPoolExecutor(AT_ONCE, "source") as pool:
                found = dict(zip(wanted, pool.map(desk.fetch, wanted.items()), strict=True))
            yield dict(_matched(orders, found))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Found:
    answer: Answer
    seconds: float


class _Desk:
    """Fetches for one shard."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        rules: Rules,
        bytes_left: int,
        gave_up: Callable[[], bool],
        ca_file: str,
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._rules = rules
        self._bytes = bytes_left
        self._ca_file = ca_file
        self._gave_up = gave_up

    def fetch(self, wanted: tuple[str, str]) -> _Found:
        reference, url = wanted
        began = time.monotonic()
        answer = self._answer(reference, url)
        return _Found(answer, time.monotonic() - began)

    def _answer(self, reference: str, url: str) -> Answer:
        if self._gave_up():
            return SourceAway("it was given up")
        if sum(path.stat().st_size for path in self._folder.glob("*.npy")) > self._bytes:
            return SourceAway("the sources of the shard take too much disk", is_disk_full=True)
        stem = hashlib.sha256(reference.encode()).hexdigest()[:16]
        order = SourceOrder(
            url=url,
            download=self._folder / f"{stem}.in",
            target=self._folder / f"{stem}.npy",
            sha256=reference.removeprefix(UPLOAD) if reference.startswith(UPLOAD) else None,
            is_signed=not is_url(reference),
            ca_file=self._ca_file,
            limits=self._limits,
            rules=self._rules,
        )
        return prepare(order, self._gave_up)


def _wanted(orders: Sequence[TrackOrder]) -> dict[str, str]:
    """URL by what the brief calls it: a signed URL differs each time, the brief's word does not."""
    return {
        reference: order.source_urls[field]
        for order in orders
        for field, reference in source_fields(order.brief)
        if field in order.source_urls
    }


def _matched(
    orders: Sequence[TrackOrder], found: Mapping[str, _Found]
) -> Iterator[tuple[int, Preparation]]:
    told: set[str] = set()
    for order in orders:
        mine = dict(source_fields(order.brief))
        first = (set(mine.values()) - told) & set(found)
        told |= first
        answers = {field: _answer_to(mine[field], found) for field in mine}
        seconds = sum(found[reference].seconds for reference in first)
        yield order.track_id, _of_one(answers, order.brief.duration, seconds)


def _answer_to(reference: str, found: Mapping[str, _Found]) -> Answer:
    if reference not in found:
        return SourceRefused("the scheduler gave no URL for it")
    return found[reference].answer


def _of_one(answers: Mapping[SourceField, Answer], duration: float, seconds: float) -> Preparation:
    ready: dict[SourceField, Path] = {}
    for field, answer in answers.items():
        match answer:
            case Source(path=path):
                ready[field] = path
            case SourceRefused(message=message):
                return SourceRefused(f"{field}: {message}")
            case SourceAway(message=message, is_disk_full=is_disk_full):
                return SourceAway(f"{field}: {message}", is_disk_full)
    if wrong := _length_fault(answers.get("src_audio"), duration):
        return SourceRefused(f"src_audio: {wrong}")
    return Prepared(ready.get("src_audio"), ready.get("reference_audio"), seconds)


def _length_fault(source: Answer | None, duration: float) -> str | None:
    """The track gets the source's length, and was planned, placed and paid for by the brief's."""
    if not isinstance(source, Source) or abs(source.seconds - duration) <= LENGTH_SLACK:
        return None
    length = f"{source.seconds:.1f} s"
    return f"it is {length} long and the brief says {duration:g} s; set duration to {length[:-2]}"
