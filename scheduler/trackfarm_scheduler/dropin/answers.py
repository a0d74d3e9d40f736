"""What clients of ACE-Step's API server read (pure): its wrapper, and its results."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from trackfarm.api import JobState, TrackState
from trackfarm.model_sets import ModelSet
from trackfarm_scheduler.dropin.line import Place
from trackfarm_scheduler.dropin.sources import AUDIO
from trackfarm_scheduler.machines import UNFINISHED
from trackfarm_scheduler.store.calls import Call, MadeTrack

QUEUED, SUCCEEDED, FAILED = 0, 1, 2
ENVIRONMENT = "production"
UNKNOWN = "there is no such task of yours; results are kept for a day"
_STOPPED = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET})


def wrapped(data: object, now: float, *, ignored: Sequence[str] = ()) -> dict[str, object]:
    """The one form of all answers; `timestamp` in milliseconds."""
    return {
        "data": data,
        "code": 200,
        "error": None,
        "timestamp": int(now * 1000),
        "extra": {"ignored": list(ignored)} if ignored else None,
    }


def status_of(call: Call) -> int:
    """0 while a track may still come, 1 when there is one at least, 2 when there will be none."""
    states = {track.state for track in call.tracks}
    if states.intersection(UNFINISHED) and call.state not in _STOPPED:
        return QUEUED
    return SUCCEEDED if TrackState.DONE in states else FAILED


def unknown(task_id: str) -> dict[str, Any]:
    """Of an id that names no task: it has failed, so that nobody waits for it."""
    return _entry(task_id, FAILED, [_result("", FAILED) | {"error": UNKNOWN}], UNKNOWN)


def task(call: Call, place: Place, kind: ModelSet) -> dict[str, Any]:
    """One entry of `/query_result`. The place in the queue and the seconds left are ours."""
    status = status_of(call)
    if status == QUEUED:
        entry = _entry(call.job_id, status, _waiting(call, kind), _progress(call, place))
        return entry | {"queue_position": place.position, "eta_seconds": place.seconds}
    if status == SUCCEEDED:
        return _entry(call.job_id, status, _made(call, kind), "done")
    why = _why(call)
    failed = [_of_track(call, track, FAILED, kind) | {"error": why} for track in call.tracks]
    return _entry(call.job_id, status, failed, why)


def file_address(object_key: str) -> str:
    """Where `/v1/audio` gives a file, relative to the server."""
    return f"{AUDIO}?path={quote(object_key, safe='')}"


def _entry(task_id: str, status: int, results: list[dict[str, Any]], said: str) -> dict[str, Any]:
    text = json.dumps(results, ensure_ascii=False, separators=(",", ":"))
    return {"task_id": task_id, "status": status, "result": text, "progress_text": said}


def _waiting(call: Call, kind: ModelSet) -> list[dict[str, Any]]:
    done = sum(track.state == TrackState.DONE for track in call.tracks)
    progress = {"progress": done / max(len(call.tracks), 1)}
    return [_of_track(call, track, QUEUED, kind) | progress for track in call.tracks[:1]]


def _progress(call: Call, place: Place) -> str:
    if call.state == JobState.PAUSED:
        return "paused"
    where = f"queued, place {place.position}" if place.position else "running"
    return where if place.seconds is None else f"{where}, about {place.seconds:.0f} s left"


def _made(call: Call, kind: ModelSet) -> list[dict[str, Any]]:
    """The finished tracks only: clients fetch every `file` of a task that has succeeded."""
    made = [track for track in call.tracks if track.state == TrackState.DONE]
    told = {
        "seed_value": ",".join(str(track.seed) for track in made),
        "generation_info": _summary(call, made, kind),
    }
    return [_of_track(call, track, SUCCEEDED, kind) | told for track in made]


def _summary(call: Call, made: Sequence[MadeTrack], kind: ModelSet) -> str:
    seconds = sum(track.seconds for track in made)
    text = f"{len(made)} of {len(call.tracks)} tracks, {seconds:.1f} s of audio, {kind.name}"
    return f"{text} (random weights: this is noise)" if kind.is_noise else text


def _why(call: Call) -> str:
    errors = [track.error for track in call.tracks if track.error]
    return errors[0] if errors else call.reason or "it was not made"


def _of_track(call: Call, track: MadeTrack, status: int, kind: ModelSet) -> dict[str, Any]:
    brief = track.wanted
    file = file_address(track.object_key) if track.object_key else ""
    return _result(file, status) | {
        "create_time": int(call.created_at),
        "prompt": brief["prompt"],
        "lyrics": brief.get("lyrics", ""),
        "metas": _metas(brief, track),
        "dit_model": kind.dit,
    }


def _metas(brief: Mapping[str, Any], track: MadeTrack) -> dict[str, object]:
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
