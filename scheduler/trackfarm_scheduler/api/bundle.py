"""The software bundle that machines with a stock image install."""

import hashlib
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from trackfarm import rentals as wire
from trackfarm.api import PREFIX
from trackfarm.wire import BUNDLE
from trackfarm_scheduler.api.auth import JoiningToken, Operator, TheFarm
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm

router = APIRouter()
NONE = (
    "this farm has no bundle for machines with a stock image: build one (`deploy/provision/bundle`)"
    " and set the scheduler's TRACKFARM_SCHEDULER_BUNDLE to its path"
)


@router.get(f"{PREFIX}/fleet/bundle", tags=["fleet"])
def show_bundle(farm: TheFarm, _caller: Operator) -> wire.Bundle:
    """Return the size and the SHA-256 digest of the bundle, by which machines verify it."""
    with _bundle(farm).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return wire.Bundle(sha256=sha256, size=file.tell())


@router.get(BUNDLE, tags=["worker"], response_class=FileResponse)
def fetch_bundle(farm: TheFarm, _token: JoiningToken) -> FileResponse:
    """Download the bundle, a gzip archive, with a join token. Spends no use of an invitation."""
    return FileResponse(_bundle(farm), media_type="application/gzip")


def _bundle(farm: Farm) -> Path:
    path = farm.settings.bundle
    if path is None or not path.is_file():
        raise Refused(404, NONE)
    return path
