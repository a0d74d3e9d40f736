"""Creation of a job from a call, in one transaction."""

from dataclasses import dataclass

from sqlmodel import Session

from trackfarm.api import JobHeader
from trackfarm.catalog import Brief
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning.needs import effort_of
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.changes import changing
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.dropin.line import LineWatch
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import calls, keys
from trackfarm_scheduler.store.intake import Intake, Sealed
from trackfarm_scheduler.store.tables import Origin

CATALOG = "calls"
BUSY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted call.

    `position` 1 is next in the queue; `seconds` until it is done, None if no worker serves its model
    set.
    """

    job_id: str
    position: int
    seconds: float | None


def accept(farm: Farm, line: LineWatch, caller: Caller, brief: Brief, kind: ModelSet) -> Accepted:
    """Store a call as a job. Raises Refused (429) if the queue or the key's quota is full."""
    queue = line.now()
    header = JobHeader(catalog=CATALOG, model_set=kind.name, lane="interactive")
    intake = Intake(
        owner=caller.owner,
        key_id=caller.identity.key_id,
        header=header,
        model_set=kind,
        now=farm.clock(),
        origin=Origin.CALL,
    )
    with changing(farm, caller.actor, "job.submit", intake.job_id) as change:
        position = calls.waiting(change.session) + 1
        if position > farm.settings.most_calls:
            raise _busy(f"{position - 1} calls are already queued")
        sealed = _store(change.session, intake, brief, farm.clock())
        _require_quota(change.session, caller, intake.new_tracks)
        change.target = sealed.job_id
    farm.placing.wake()
    if not intake.new_tracks:  # all of its tracks may exist already
        farm.settling.wake()
    shape = TrackShape(brief.duration, *effort_of(brief, kind))
    seconds = queue.seconds_behind(kind.name, brief.variations, shape)
    return Accepted(sealed.job_id, position, seconds)


def _store(session: Session, intake: Intake, brief: Brief, now: float) -> Sealed:
    intake.open(session)
    intake.add(session, [brief], now)
    sealed = intake.seal(session)
    if sealed.already_submitted:
        calls.renew(session, sealed.job_id, now)
    return sealed


def _require_quota(session: Session, caller: Caller, new_tracks: int) -> None:
    most = caller.identity.most_tracks
    if most is None or not new_tracks:
        return
    if keys.unfinished_tracks(session, caller.identity.key_id) > most:
        raise _busy(f"this key may have {most} unfinished tracks")


def _busy(why: str) -> Refused:
    headers = {"Retry-After": str(BUSY_SECONDS)}
    return Refused(429, f"{why}; try again later", headers=headers)
