"""A worker that is silent for too long and comes back changes nothing."""

import json
import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from tests.chaos.busy import computing, placed_again, submitted
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.promises import ends_done, made_exactly_once
from tests.servers.process import wait_until
from trackfarm.wire import (
    PREFIX,
    Measurements,
    ReportAnswer,
    ReportRequest,
    Timings,
    TrackDone,
    Verdict,
)
from trackfarm_scheduler.store.tables import Attempt, Lease

LOST_AFTER_S = 3.0
MD5_OF_NOISE, SHA256_OF_NOISE = "8d7bd0ff9b96a3eb5a3ac2a4e1ec3d5f", "0" * 64


@pytest.fixture
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(
        request,
        tmp_path_factory,
        workers=("frozen", "other"),
        worker={"step_delay": 0.15},
        lost_after_seconds=LOST_AFTER_S,
        heartbeat_seconds=1,
        url_ttl_seconds=15,
    ) as running:
        yield running
