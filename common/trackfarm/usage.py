"""Usage per API key: models shared by operator clients and the scheduler."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Step(StrEnum):
    """Interval by which usage is grouped: none, days or hours (UTC)."""

    TOTAL = "total"
    DAY = "day"
    HOUR = "hour"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Used(_Record):
    """Usage of one key.

    `tracks` completed with `audio_seconds` in total, failed attempts, and the engine seconds and US
    dollars of both; `since` is None for the whole time.
    """

    owner: str
    key_id: str
    since: datetime | None
    tracks: int
    failures: int
    audio_seconds: float
    gpu_seconds: float
    dollars: float


class Usage(_Record):
    """Usage in whole hours, from `since` (inclusive) to `until` (exclusive)."""

    since: datetime
    until: datetime
    by: Step
    used: list[Used]
