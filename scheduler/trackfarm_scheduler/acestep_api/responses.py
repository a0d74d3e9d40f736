"""Response bodies for clients of ACE-Step's API server: its wrapper, and the state of tasks, of which
many need as many database queries as one."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from trackfarm.model_sets import ModelSet, model_set
from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.acestep_api.sources import AUDIO
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.queue_position import QueueForecast, QueuePosition, QueueWatch
from trackfarm_scheduler.db import calls
from trackfarm_scheduler.db.calls import CallState, CallTrack
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.policy.states import UNFINISHED
from trackfarm_scheduler.services import Services

QUEUED, SUCCEEDED, FAILED = 0, 1, 2
ENVIRONMENT = "production"
UNKNOWN = "you have no such task; results are kept for a day"
_STOPPED = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET})
MAX_IDS = 10_000
_FORM = re.compile(r"[!-~]{1,64}")


def wrap(data: object, now: float, *, ignored: Sequence[str] = ()) -> dict[str, object]:
    """Wrap data in the envelope of all responses; `timestamp` in milliseconds."""
    return {
        "data": data,
        "code": 200,
        "error": None,
        "timestamp": int(now * 1000),
        "extra": {"ignored": list(ignored)} if ignored else None,
    }


def query(services: Services, queue: QueueWatch, caller: Caller, ids: list[str]) -> list[object]:
    """Return one entry for each id, in the order of the ids."""
    snapshot = queue.now()
    valid_ids = list(dict.fromkeys(filter(_FORM.fullmatch, ids)))
    with services.database.read() as session:
        calls_by_id = calls.find(session, valid_ids, owner=caller.sees)
    return [_task_entry(task_id, calls_by_id.get(task_id), snapshot) for task_id in ids]


def _task_entry(task_id: str, call: CallState | None, queue: QueueForecast) -> object:
    if call is None:
        return unknown(task_id)
    place = queue.place_of(task_id, waits=call.state == JobState.ACCEPTED)
    return task(call, place, model_set(call.model_set))


def task_ids(fields: Mapping[str, object]) -> list[str]:
    """Return the ids of a request, an array or its JSON text. Raises ApiError (400)."""
    ids = fields.get("task_id_list")
    if isinstance(ids, str):
        try:
            ids = json.loads(ids)
        except (ValueError, RecursionError):
            ids = None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise ApiError(400, "task_id_list: is not a list of task ids; send them as a JSON array")
    if len(ids) > MAX_IDS:
        raise ApiError(400, f"task_id_list: has more than {MAX_IDS} ids; send several requests")
    return ids


def task(call: CallState, place: QueuePosition, kind: ModelSet) -> dict[str, Any]:
    """Return an entry of `/query_result`; `queue_position` and `eta_seconds` are our additions."""
    status = status_of(call)
    if status == QUEUED:
        entry = _entry(call.job_id, status, _waiting(call, kind), _progress(call, place))
        return entry | {"queue_position": place.position, "eta_seconds": place.seconds}
    if status == SUCCEEDED:
        return _entry(call.job_id, status, _finished(call, kind), "done")
    error = _error(call)
    failed = [_of_track(call, track, FAILED, kind) | {"error": error} for track in call.tracks]
    return _entry(call.job_id, status, failed, error)


def unknown(task_id: str) -> dict[str, Any]:
    """Return the entry of an unknown id: failed, so that the client stops polling."""
    return _entry(task_id, FAILED, [_result("", FAILED) | {"error": UNKNOWN}], UNKNOWN)


def status_of(call: CallState) -> int:
    """Return 0 while tracks may still be made, 1 if at least one is done, 2 if there will be none."""
    states = {track.state for track in call.tracks}
    if states.intersection(UNFINISHED) and call.state not in _STOPPED:
        return QUEUED
    return SUCCEEDED if TrackState.DONE in states else FAILED


def file_address(object_key: str) -> str:
    """Return the URL of a file at `/v1/audio`, relative to the server."""
    return f"{AUDIO}?path={quote(object_key, safe='')}"


def _entry(
    task_id: str, status: int, results: list[dict[str, Any]], progress: str
) -> dict[str, Any]:
    text = json.dumps(results, ensure_ascii=False, separators=(",", ":"))
    return {"task_id": task_id, "status": status, "result": text, "progress_text": progress}


def _waiting(call: CallState, kind: ModelSet) -> list[dict[str, Any]]:
    done_count = sum(track.state == TrackState.DONE for track in call.tracks)
    progress = {"progress": done_count / max(len(call.tracks), 1)}
    return [_of_track(call, track, QUEUED, kind) | progress for track in call.tracks[:1]]


def _progress(call: CallState, place: QueuePosition) -> str:
    if call.state == JobState.PAUSED:
        return "paused"
    state = f"queued, position {place.position}" if place.position else "running"
    return state if place.seconds is None else f"{state}, about {place.seconds:.0f} s left"


def _finished(call: CallState, kind: ModelSet) -> list[dict[str, Any]]:
    """Return the finished tracks only: clients fetch every `file` of a task that succeeded."""
    tracks = [track for track in call.tracks if track.state == TrackState.DONE]
    details = {
        "seed_value": ",".join(str(track.seed) for track in tracks),
        "generation_info": _summary(call, tracks, kind),
    }
    return [_of_track(call, track, SUCCEEDED, kind) | details for track in tracks]


def _summary(call: CallState, tracks: Sequence[CallTrack], kind: ModelSet) -> str:
    seconds = sum(track.seconds for track in tracks)
    text = f"{len(tracks)} of {len(call.tracks)} tracks, {seconds:.1f} s of audio, {kind.name}"
    return f"{text} (random weights: this is noise)" if kind.is_noise else text


def _error(call: CallState) -> str:
    errors = [track.error for track in call.tracks if track.error]
    return errors[0] if errors else call.reason or "the track was not made"


def _of_track(call: CallState, track: CallTrack, status: int, kind: ModelSet) -> dict[str, Any]:
    brief = track.brief_fields
    file = file_address(track.object_key) if track.object_key else ""
    return _result(file, status) | {
        "create_time": int(call.created_at),
        "prompt": brief["prompt"],
        "lyrics": brief.get("lyrics", ""),
        "metas": _metas(brief, track),
        "dit_model": kind.dit,
    }


def _metas(brief: Mapping[str, Any], track: CallTrack) -> dict[str, object]:
    signature = brief.get("time_signature")
    return {
        "bpm": brief.get("bpm"),
        "duration": track.seconds or brief["duration"],
        "genres": "",
        "keyscale": brief.get("key_scale") or "",
        "timesignature": "" if signature is None else str(signature),
    }


def _result(file: str, status: int) -> dict[str, Any]:
    return {
        "file": file,
        "wave": "",
        "status": status,
        "create_time": 0,
        "env": ENVIRONMENT,
        "prompt": "",
        "lyrics": "",
        "metas": {},
        "generation_info": "",
        "seed_value": "",
        "lm_model": "",
        "dit_model": "",
    }
