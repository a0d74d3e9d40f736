"""Download of one track to disk: complete and with the right digest, or not at all."""

import hashlib
from functools import partial
from pathlib import Path

from trackfarm.api import Artifact, Track, TrackState
from trackfarm.client.calls import PLAIN
from trackfarm.client.endings import DownloadFailed
from trackfarm.client.steps import Pause, Save, Steps, Work

ATTEMPTS = 4
FIRST_PAUSE = 0.2  # seconds; doubled after each failed attempt


def fetch(job_id: str, track: Track, path: Path) -> Steps[bool]:
    """Download the track's file to `path`, atomically; return False when it was there already.

    After a failure a new URL is requested, because signed URLs expire.

    Raises:
        DownloadFailed: four attempts failed, or the track has no file.
        OSError: the file cannot be written.
    """
    if track.artifact is None:
        raise DownloadFailed("the track has no file")
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
        track = yield from _with_new_url(job_id, track)
    raise AssertionError("the last attempt returns or raises")


def _fetch_once(track: Track, path: Path) -> Steps[None]:
    if not track.url or track.artifact is None:
        raise DownloadFailed("the farm returned no URL for the file")
    part = path.with_name(f".{path.name}.part")
    try:
        digest = yield Save(track.url, part)
        if digest != track.artifact.sha256:
            raise DownloadFailed(f"the file's SHA-256 is {digest}, not {track.artifact.sha256}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _with_new_url(job_id: str, track: Track) -> Steps[Track]:
    """Return the same track with a new URL."""
    page = yield from PLAIN.track_page(
        job_id, after=track.ordinal - 1, limit=1, state=TrackState.DONE
    )
    return next((record for record in page.tracks if record.id == track.id), track)


def is_stored(path: Path, artifact: Artifact) -> bool:
    """Return whether the file at `path` has the artifact's size and SHA-256."""
    try:
        if path.stat().st_size != artifact.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
    except FileNotFoundError:
        return False
