"""From the parameters of a call to its job: store sources, translate parameters, and create the job
in one transaction."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session
from starlette.datastructures import UploadFile

from trackfarm.catalog import Brief, FieldProblem
from trackfarm.catalog.errors import quoted
from trackfarm.cost import TrackShape
from trackfarm.identity import SEED_BITS
from trackfarm.model_sets import ModelSet, model_set, model_sets
from trackfarm.planning.demand import effort_of
from trackfarm.protocol.operator import JobHeader
from trackfarm_scheduler.acestep_api.parameters import flatten_parameters
from trackfarm_scheduler.acestep_api.sources import (
    FILE_FIELDS,
    CallSource,
    find_source,
    path_problem,
    store_upload,
)
from trackfarm_scheduler.acestep_api.translate import translate
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.queue_position import QueueWatch, default_model
from trackfarm_scheduler.api.uploads import SourceCheck
from trackfarm_scheduler.db import api_keys, calls
from trackfarm_scheduler.db.submission import JobSubmission, SealedJob
from trackfarm_scheduler.db.tables import JobOrigin
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services

CATALOG = "calls"
BUSY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class AcceptedCall:
    """An accepted call.

    `position` 1 is next in the queue; `seconds` until it is done, None if no worker serves its model
    set.
    """

    job_id: str
    position: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class CreatedCall:
    """An accepted call; `ignored` lists its parameters that have no effect here."""

    accepted: AcceptedCall
    brief: Brief
    ignored: tuple[str, ...]


def create_call(
    services: Services,
    queue: QueueWatch,
    caller: Caller,
    fields: Mapping[str, object],
    files: Mapping[str, UploadFile],
) -> CreatedCall:
    """Create a job from a call.

    Raises ApiError: 400 for parameters that cannot be fulfilled, 429 if the queue is full.
    """
    parameters = flatten_parameters(
        {name: value for name, value in fields.items() if name not in files}
    )
    kind = _kind(services, queue, parameters)
    sources = _sources(services, caller, parameters, files)
    parameters |= {field: source.reference for field, source in sources.items()}
    source = sources.get("src_audio")
    outcome = translate(
        parameters,
        kind,
        draw=lambda: secrets.randbits(SEED_BITS),
        source_seconds=source.seconds if source is not None else None,
    )
    if isinstance(outcome, list):
        raise _refused(outcome)
    _require_sources(services, caller, outcome.brief)
    return CreatedCall(
        accept(services, queue, caller, outcome.brief, kind), outcome.brief, outcome.ignored
    )


def _kind(services: Services, queue: QueueWatch, parameters: Mapping[str, object]) -> ModelSet:
    name = parameters.get("model") or default_model(
        services.settings.default_model, queue.now().models
    )
    if name not in model_sets():
        remedy = f"write one of {', '.join(model_sets())}"
        raise _refused([FieldProblem("model", f"{quoted(name)} is not a known model", remedy)])
    return model_set(str(name))


def _sources(
    services: Services,
    caller: Caller,
    parameters: Mapping[str, object],
    files: Mapping[str, UploadFile],
) -> dict[str, CallSource]:
    """Return the sources of a call by field; an uploaded file wins over a reference."""
    sources: dict[str, CallSource] = {
        FILE_FIELDS[name]: store_upload(services, caller.owner, file, name)
        for name, file in files.items()
        if name in FILE_FIELDS and file.filename
    }
    with services.database.read() as session:
        for field in set(FILE_FIELDS.values()) & parameters.keys() - sources.keys():
            source = sources[field] = find_source(session, parameters[field])
            if flaw := path_problem(source.reference):
                raise _refused(
                    [FieldProblem(field, flaw, "or give a URL, or the file of a result")]
                )
    return sources


def _require_sources(services: Services, caller: Caller, brief: Brief) -> None:
    if brief.src_audio is None and brief.reference_audio is None:
        return
    with services.database.read() as session:
        errors = SourceCheck(services.objects, caller.owner).errors(session, 1, brief)
    if errors:
        raise _refused([FieldProblem(e["field"], e["message"], "give another") for e in errors])


def _refused(faults: list[FieldProblem]) -> ApiError:
    errors = [{"field": f.field, "message": f"{f.wrong}; {f.remedy}"} for f in faults]
    return ApiError(400, ". ".join(map(str, faults)), errors)


def accept(
    services: Services, queue: QueueWatch, caller: Caller, brief: Brief, kind: ModelSet
) -> AcceptedCall:
    """Store a call as a job. Raises ApiError (429) if the queue or the key's quota is full."""
    forecast = queue.now()
    header = JobHeader(catalog=CATALOG, model_set=kind.name, lane="interactive")
    submission = JobSubmission(
        owner=caller.owner,
        key_id=caller.identity.key_id,
        header=header,
        model_set=kind,
        now=services.clock(),
        origin=JobOrigin.CALL,
    )
    with audited_transaction(services, caller.actor, "job.submit", submission.job_id) as change:
        position = calls.count_waiting(change.session) + 1
        if position > services.settings.most_calls:
            raise _busy(f"{position - 1} calls are already queued")
        sealed = _store(change.session, submission, brief, services.clock())
        _require_quota(change.session, caller, submission.new_tracks)
        change.target = sealed.job_id
    services.placer_loop.wake()
    if not submission.new_tracks:  # all of its tracks may exist already
        services.completer_loop.wake()
    shape = TrackShape(brief.duration, *effort_of(brief, kind))
    seconds = forecast.seconds_behind(kind.name, brief.variations, shape)
    return AcceptedCall(sealed.job_id, position, seconds)


def _store(session: Session, submission: JobSubmission, brief: Brief, now: float) -> SealedJob:
    submission.open(session)
    submission.add(session, [brief], now)
    sealed = submission.seal(session)
    if sealed.already_submitted:
        calls.renew(session, sealed.job_id, now)
    return sealed


def _require_quota(session: Session, caller: Caller, new_tracks: int) -> None:
    max_tracks = caller.identity.most_tracks
    if max_tracks is None or not new_tracks:
        return
    if api_keys.count_unfinished_tracks(session, caller.identity.key_id) > max_tracks:
        raise _busy(f"this key may have {max_tracks} unfinished tracks")


def _busy(reason: str) -> ApiError:
    headers = {"Retry-After": str(BUSY_SECONDS)}
    return ApiError(429, f"{reason}; try again later", headers=headers)
