"""What keys have used, as the operator's programs and the scheduler speak of it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Step(StrEnum):
    """By what a time is cut: not at all, by days or by hours (UTC)."""

    TOTAL = "total"
    DAY = "day"
    HOUR = "hour"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Used(_Record):
    """Of one key. `tracks` that were done with `audio_seconds` in them, attempts that failed, engine
    seconds and US dollars of both; `since` is None for the whole time."""

    owner: str
    key_id: str
    since: datetime | None
    tracks: int
    failures: int
    audio_seconds: float
    gpu_seconds: float
    dollars: float


class Usage(_Record):
    """Whole hours from `since` to before `until`."""

    since: datetime
    until: datetime
    by: Step
    used: list[Used]
