"""What machines with a stock image install: told to the fleet, handed to those who may join."""

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
    "this farm has no bundle for machines with a stock image: make one (`deploy/provision/bundle`)"
    " and name it in the scheduler's TRACKFARM_SCHEDULER_BUNDLE"
)


@router.get(f"{PREFIX}/fleet/bundle", tags=["fleet"])
def show_bundle(farm: TheFarm, _caller: Operator) -> wire.Bundle:
    """The digest by which a machine knows that it got the right one."""
    with _bundle(farm).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return wire.Bundle(sha256=sha256, size=file.tell())


@router.get(BUNDLE, tags=["worker"], response_class=FileResponse)
def fetch_bundle(farm: TheFarm, _token: JoiningToken) -> FileResponse:
    """The archive; no use of an invitation is spent."""
    return FileResponse(_bundle(farm), media_type="application/gzip")


def _bundle(farm: Farm) -> Path:
    path = farm.settings.bundle
    if path is None or not path.is_file():
        raise Refused(404, NONE)
    return path
