"""Submission of a catalog: local sources are uploaded first, then the briefs are streamed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from trackfarm.catalog import Brief, Catalog, CatalogError
from trackfarm.catalog.source_refs import is_local, local_file
from trackfarm.client.calls import STEPS
from trackfarm.client.sansio import Gather, RunInThread, Steps
from trackfarm.model_sets import DEFAULT_MODEL_SET
from trackfarm.protocol.operator import JobHeader, SubmitAnswer

UPLOADS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """Options of a submission; None means the catalog's own value."""

    name: str | None = None
    model_set: str | None = None
    priority: int = 0
    lane: Literal["batch", "interactive"] = "batch"
    deadline: datetime | None = None
    budget: float | None = None


def submit(
    catalog: Catalog, options: SubmitOptions, *, idempotency_key: str | None = None
) -> Steps[SubmitAnswer]:
    """Submit the catalog; nothing is sent when a row is invalid.

    Raises `CatalogError` for invalid rows and for a file that changed since the check, ValueError
    for an invalid option, OSError for a source that cannot be read.
    """
    header = header_of(catalog, options)
    files = yield RunInThread(partial(local_files, catalog))
    names = yield Gather((STEPS.upload(path) for path in files), UPLOADS_AT_ONCE)
    briefs = CatalogBriefs(catalog, dict(zip(files, names, strict=True)))
    return (yield from STEPS.submit(header, briefs, idempotency_key=idempotency_key))


def header_of(catalog: Catalog, options: SubmitOptions) -> JobHeader:
    """Return the job's header: the options, else the catalog's values. Raises ValueError."""
    return JobHeader(
        catalog=options.name or catalog.name,
        model_set=options.model_set or catalog.model_set or DEFAULT_MODEL_SET,
        priority=options.priority,
        lane=options.lane,
        deadline=options.deadline,
        budget=options.budget,
    )


def local_files(catalog: Catalog) -> list[Path]:
    """Return the catalog's local source files.

    Raises `CatalogError` with the first thousand mistakes of the catalog.
    """
    files: set[Path] = set()

    def note_files(_row: int, brief: Brief) -> tuple[()]:
        sources = [reference for _, reference in brief.sources() if is_local(reference)]
        files.update(local_file(reference, catalog.path) for reference in sources)
        return ()

    catalog.check(note_files).require()
    return sorted(files)


def briefs_of(catalog: Catalog) -> Iterator[Brief]:
    """Yield the briefs. Raises `CatalogError` at the first invalid row."""
    for row in catalog.rows():
        if not isinstance(row.outcome, Brief):
            raise CatalogError(row.outcome)
        yield row.outcome


class CatalogBriefs:
    """The briefs of a catalog, iterable repeatedly; `names` maps local files to their uploads.

    Iterating raises `CatalogError` when the file changed since it was checked.
    """

    def __init__(self, catalog: Catalog, names: Mapping[Path, str]) -> None:
        self._catalog = catalog
        self._names = names

    def __iter__(self) -> Iterator[Brief]:
        for brief in briefs_of(self._catalog):
            yield _with_uploads(brief, self._catalog.path, self._names)


def _with_uploads(brief: Brief, catalog: Path, names: Mapping[Path, str]) -> Brief:
    """Return the brief with uploads in place of local files."""
    changes: dict[str, str] = {
        field: names[local_file(reference, catalog)]
        for field, reference in brief.sources()
        if is_local(reference)
    }
    return brief.model_copy(update=changes) if changes else brief
