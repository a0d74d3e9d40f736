"""Usage by key: tracks, seconds of audio and of GPU time, US dollars."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from trackfarm.protocol.accounts import Step, UsagePeriod, UsageReport
from trackfarm.protocol.operator import API_PREFIX
from trackfarm_scheduler.api.auth import Reader, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.db import spending
from trackfarm_scheduler.views import at, at_or_none

router = APIRouter(prefix=API_PREFIX, tags=["access"])
USUAL = timedelta(days=30)
MOST_PARTS = 10_000  # days or hours in one response, for each key
_SECONDS = {Step.TOTAL: None, Step.DAY: spending.DAY, Step.HOUR: spending.HOUR}


@router.get("/usage")
def show_usage(
    services: TheServices,
    caller: Reader,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    by: Step = Step.TOTAL,
    key: Annotated[str | None, Query(max_length=64, description="The id of one key.")] = None,
) -> UsageReport:
    """Return the usage of your keys, or of all keys for administrators.

    Covers the last 30 days by default, in whole hours (UTC). A track counts in the hour in which it
    was committed.
    """
    end = until or datetime.fromtimestamp(services.clock(), UTC) + timedelta(hours=1)
    first, last = _hour(since or end - USUAL), _hour(end)
    step = _SECONDS[by]
    if first >= last or (step and (last - first) // step > MOST_PARTS):
        flaw = {
            "field": "query.since",
            "message": f"must be before until, by at most {MOST_PARTS} steps",
        }
        raise ApiError(422, "the period from since to until is empty or too long", [flaw])
    with services.database.read() as session:
        rows = list(
            spending.list_usage(
                session, since=first, until=last, owner=caller.sees, key_id=key, step=step
            )
        )
    return UsageReport(since=at(first), until=at(last), by=by, used=[_view(each) for each in rows])


def _hour(time: datetime) -> int:
    return int(time.timestamp()) // spending.HOUR * spending.HOUR


def _view(row: spending.UsageTotals) -> UsagePeriod:
    amounts = row.amounts
    return UsagePeriod(
        owner=row.owner,
        key_id=row.key_id,
        since=at_or_none(row.since),
        tracks=amounts.tracks,
        failures=amounts.failures,
        audio_seconds=amounts.audio_seconds,
        gpu_seconds=amounts.gpu_seconds,
        dollars=amounts.dollars,
    )
