"""The farm as a Python object: plan and submit catalogs, look up jobs and model sets."""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from trackfarm.catalog import Catalog, open_catalog
from trackfarm.client.async_driver import AsyncDriver
from trackfarm.client.calls import STEPS
from trackfarm.client.connection import Connection, connect
from trackfarm.client.dual import HasDriver, Mode, call
from trackfarm.client.sansio import RunInThread, Steps
from trackfarm.client.sync_driver import SyncDriver
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import FarmModelSet, FarmStatus
from trackfarm.sdk import submission
from trackfarm.sdk.job import Job
from trackfarm.sdk.submission import SubmitOptions
from trackfarm.settings import ClientSettingsError, FarmAddress, find_farm

if TYPE_CHECKING:
    from trackfarm.planning.models import Plan

RETRY_SECONDS = 30.0
Deadline = datetime | timedelta


class FarmMethods(HasDriver[Mode]):
    """The calls of `Farm` and `AsyncFarm`.

    Every call raises `FarmError`; its subclass `RequestRefused` names the invalid fields.
    """

    @call
    def plan(
        self,
        catalog: Catalog | str | Path,
        *,
        model_set: str | None = None,
        deadline: timedelta | None = None,
        budget: float | None = None,
    ) -> "Steps[Plan]":
        """Estimate the catalog's cost (US dollars) and time on the farm's current workers.

        Nothing is stored. Raises `CatalogError` and `UnknownModelSet` too.
        """
        from trackfarm.model_sets import DEFAULT_MODEL_SET
        from trackfarm.model_sets import model_set as known_model_set
        from trackfarm.planning import BriefNotes, PlanLimits, PlanRequest, read_shapes

        opened_catalog = yield RunInThread(partial(_open, catalog))
        kind = known_model_set(model_set or opened_catalog.model_set or DEFAULT_MODEL_SET)
        notes = BriefNotes(kind.name)
        tracks = yield RunInThread(partial(read_shapes, opened_catalog, kind, notes))
        seconds = None if deadline is None else deadline.total_seconds()
        limits = PlanLimits(deadline_seconds=seconds, budget=budget)
        request = PlanRequest(model_set=kind.name, tracks=tracks, limits=limits)
        plan = yield from STEPS.plan(request)
        return plan.with_notes(notes.texts())

    @call
    def submit(
        self,
        catalog: Catalog | str | Path,
        *,
        name: str | None = None,
        model_set: str | None = None,
        priority: int = 0,
        lane: Literal["batch", "interactive"] = "batch",
        deadline: Deadline | None = None,
        budget: float | None = None,
        idempotency_key: str | None = None,
    ) -> "Steps[Job[Mode]]":
        """Submit a catalog (a file or a `Catalog` made from rows); local sources are uploaded.

        Nothing is sent unless every row is valid; otherwise `CatalogError` names rows and fixes.
        Submitting the same catalog again returns its existing job. The farm executes calls with the
        same `idempotency_key` once, even if the client or the farm crashed in between; by default a
        key is generated for this call and its retries. A `deadline` given as a timedelta counts
        from now; `budget` is in US dollars.
        """
        options = SubmitOptions(
            name=name,
            model_set=model_set,
            priority=priority,
            lane=lane,
            deadline=_deadline(deadline),
            budget=budget,
        )
        opened_catalog = yield RunInThread(partial(_open, catalog))
        answer = yield from submission.submit(
            opened_catalog, options, idempotency_key=idempotency_key
        )
        return Job(answer.job, driver=self.driver, already_submitted=answer.already_submitted)

    @call
    def upload(self, path: str | Path) -> Steps[str]:
        """Upload an audio file; return its name for a brief's `src_audio` or `reference_audio`.

        Content that the farm already has is not sent again. Raises OSError.
        """
        return STEPS.upload(Path(path))

    @call
    def jobs(self, limit: int = 50) -> "Steps[list[Job[Mode]]]":
        """List jobs, newest first, at most 500."""
        records = yield from STEPS.jobs(limit)
        return [self._job(record) for record in records]

    @call
    def job(self, job_id: str) -> "Steps[Job[Mode]]":
        """Return the job with this id or unique beginning of one."""
        record = yield from STEPS.job(job_id)
        return self._job(record)

    @call
    def models(self) -> Steps[list[FarmModelSet]]:
        """List the model sets by name: workers that serve each now, and its waiting tracks."""
        return STEPS.models()

    @call
    def status(self) -> Steps[FarmStatus]:
        """Return the number of jobs, tracks and workers in each state."""
        return STEPS.status()

    def _job(self, record: operator_api.JobInfo) -> "Job[Mode]":
        return Job(record, driver=self.driver)


class Farm(FarmMethods[SyncDriver]):
    """A farm for programs that block; a context manager. Safe to use from several threads.

    Without `url` it uses the same farm as the command line: `TRACKFARM_URL` with
    `TRACKFARM_API_KEY`, else the one that `trackfarm up` runs here. Calls that may safely run twice
    are retried for up to `retry_seconds` when a connection breaks or the farm answers 429 (after
    Retry-After) or 5xx. `timeout` (seconds) bounds each wait for the network. `ca_file` (PEM) is
    trusted beside the public authorities; `insecure` allows http:// to other machines.

    Raises `ClientSettingsError` when no farm is found, and `UnsafeAddress`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        timeout: float = 30.0,
        ca_file: str | Path | None = None,
        insecure: bool = False,
    ) -> None:
        self.driver = SyncDriver(_connection(url, key, retry_seconds, timeout, ca_file, insecure))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.driver.close()


class AsyncFarm(FarmMethods[AsyncDriver]):
    """A farm for asyncio programs, in one event loop; an async context manager.

    It has the calls of `Farm`: `await farm.submit(…)`, `await job.wait()`,
    `async for track in job.tracks()`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_seconds: float = RETRY_SECONDS,
        timeout: float = 30.0,
        ca_file: str | Path | None = None,
        insecure: bool = False,
    ) -> None:
        self.driver = AsyncDriver(_connection(url, key, retry_seconds, timeout, ca_file, insecure))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.driver.close()


def _connection(
    url: str | None,
    key: str | None,
    retry_seconds: float,
    timeout: float,
    ca_file: str | Path | None,
    insecure: bool,
) -> Connection:
    address = _default_address() if url is None else FarmAddress(url, key or _default_key())
    return connect(
        address.url,
        key or address.api_key,
        retry_seconds=retry_seconds,
        timeout=timeout,
        ca_file=Path(ca_file) if ca_file is not None else address.ca_file,
        insecure=insecure or address.insecure,
    )


def _default_address() -> FarmAddress:
    if (address := find_farm(os.environ)) is None:
        raise ClientSettingsError(
            "no farm found; start one with `trackfarm up`, set TRACKFARM_URL and"
            " TRACKFARM_API_KEY, or write Farm(url, key)"
        )
    return address


def _default_key() -> str:
    if not (key := os.environ.get("TRACKFARM_API_KEY", "").strip()):
        raise ClientSettingsError(
            "a farm's URL needs a key: write Farm(url, key) or set TRACKFARM_API_KEY"
        )
    return key


def _open(catalog: Catalog | str | Path) -> Catalog:
    return catalog if isinstance(catalog, Catalog) else open_catalog(catalog)


def _deadline(deadline: Deadline | None) -> datetime | None:
    if isinstance(deadline, timedelta):
        return datetime.now(UTC) + deadline
    return deadline.astimezone() if deadline is not None and deadline.tzinfo is None else deadline
