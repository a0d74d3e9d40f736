"""One track from the object store to disk: whole and with the right digest, or not at all."""

import hashlib
from functools import partial
from pathlib import Path

from trackfarm.api import Artifact, Track, TrackState
from trackfarm.client.calls import PLAIN
from trackfarm.client.endings import DownloadFailed
from trackfarm.client.steps import Pause, Save, Steps, Work

ATTEMPTS = 4
FIRST_PAUSE = 0.2  # seconds; each is twice as long as the one before


def fetch(job_id: str, track: Track, path: Path) -> Steps[bool]:
    """Stores the track's file at `path`, which appears in one step; False when it was there. Its
    address is asked for anew after a failure, because signed ones expire.

    Raises:
        DownloadFailed: after four tries, or when the track has no file.
        OSError: the disk does not take it.
    """
    if track.artifact is None:
        raise DownloadFailed("the farm names no file for it")
    if (yield Work(partial(is_stored, path, track.artifact))):
        return False
    for number in range(ATTEMPTS):
        try:
            yield from _fetch_once(track, path)
        except DownloadFailed:
            if number == ATTEMPTS - 1:
                raise
        else:
            return True
        yield Pause(FIRST_PAUSE * 2**number)
        track = yield from _looked_up(job_id, track)
    raise AssertionError("the last try returns or raises")


def _fetch_once(track: Track, path: Path) -> Steps[None]:
    if not track.url or track.artifact is None:
        raise DownloadFailed("the farm gives no URL for it")
    draft = path.with_name(f".{path.name}.part")
    try:
        digest = yield Save(track.url, draft)
        if digest != track.artifact.sha256:
            raise DownloadFailed(f"SHA-256 is {digest}, not {track.artifact.sha256}")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _looked_up(job_id: str, track: Track) -> Steps[Track]:
    """The same track with a fresh URL."""
    page = yield from PLAIN.track_page(
        job_id, after=track.ordinal - 1, limit=1, state=TrackState.DONE
    )
    return next((found for found in page.tracks if found.id == track.id), track)


def is_stored(path: Path, artifact: Artifact) -> bool:
    """Whether the very file is at `path` already."""
    try:
        if path.stat().st_size != artifact.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
    except FileNotFoundError:
        return False
