"""What lists can be narrowed to, as queries say it."""

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from trackfarm.api import JobState, TrackState, WorkerState
from trackfarm_scheduler.api.paging import Cursor

MOST_ROW = 2**53  # what JavaScript's numbers hold


def _label(text: str) -> str:
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError("is a label and its value: zone=lobby")
    return text


Tags = Annotated[
    list[Annotated[str, Field(max_length=401), AfterValidator(_label)]],
    Field(max_length=8, description="`zone=lobby`; with several, all of them."),
]


class _Filter(BaseModel):
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @property
    def between(self) -> tuple[float | None, float | None]:
        """Unix seconds."""
        since, until = (t.timestamp() if t else None for t in (self.since, self.until))
        return since, until


class JobFilter(_Filter):
    """`since` and `until`: when the job was made."""

    state: list[JobState] = Field(default=[], max_length=16)
    catalog: str | None = Field(default=None, max_length=200)
    tag: Tags = []
    cursor: Cursor = None
    limit: int = Field(default=50, ge=1, le=500)


class TrackFilter(_Filter):
    """`after` is an ordinal; `since` and `until`: when the track ended."""

    state: list[TrackState] = Field(default=[], max_length=16)
    tag: Tags = []
    after: int = Field(default=0, ge=0, le=MOST_ROW)
    limit: int = Field(default=100, ge=1, le=1000)


class EventFilter(_Filter):
    """`after` is the id of an event."""

    job: str | None = None
    kind: list[str] = Field(default=[], max_length=32)
    after: int = Field(default=0, ge=0, le=MOST_ROW)
    limit: int = Field(default=200, ge=1, le=1000)


class WorkerFilter(_Filter):
    """`since` and `until`: when the worker joined."""

    state: list[WorkerState] = Field(default=[], max_length=16)
    model_set: str | None = Field(default=None, max_length=200)
    cursor: Cursor = None
    limit: int = Field(default=1000, ge=1, le=1000)


class ModelSetFilter(BaseModel):
    cursor: Cursor = None
    limit: int = Field(default=1000, ge=1, le=1000)


def labels_of(tags: list[str]) -> list[tuple[str, str]]:
    """Labels with their values."""
    return [(name, value) for name, _, value in (text.partition("=") for text in tags)]
