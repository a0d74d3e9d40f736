"""A client killed during a submission and restarted creates no second job."""

import subprocess
import sys
from pathlib import Path

from tests.end_to_end.catalogs import short_briefs
from tests.end_to_end.farm import API_KEY, LocalFarm
from trackfarm import Catalog, Farm
from trackfarm.protocol.operator import JobHeader, JobState

DYING = Path(__file__).with_name("dying_client.py")
HALF, WHOLE = 1_600, 1_700


def test_submission_killed_in_mid_request_is_repeated_once(farm: LocalFarm) -> None:
    command = [sys.executable, "-m", f"tests.examples.{DYING.stem}", "my-key", str(HALF)]
    with subprocess.Popen(
        command, env=farm.environment(), stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "half\n"
        client.kill()
    header, briefs = JobHeader(catalog="dying", model_set="tiny"), short_briefs(WHOLE)
    first = farm.client.submit(header, briefs, idempotency_key="my-key")
    again = farm.client.submit(header, briefs, idempotency_key="my-key")
    farm.client.cancel(first.job.id)
    assert first == again
    jobs = [job for job in farm.client.jobs() if job.catalog == "dying"]
    assert [(job.state, job.tracks.total) for job in jobs] == [(JobState.CANCELLED, WHOLE)]


def test_submission_repeated_finds_the_job_with_or_without_its_key(farm: LocalFarm) -> None:
    catalog = Catalog.from_rows(
        [{"prompt": "calm", "duration": 10}], name="twice", model_set="tiny"
    )
    with Farm(farm.url, API_KEY) as sdk:
        first = sdk.submit(catalog, idempotency_key="one")
        same_key = sdk.submit(catalog, idempotency_key="one")
        other_key = sdk.submit(catalog)
        assert first.id == same_key.id == other_key.id
        assert [first.already_submitted, other_key.already_submitted] == [False, True]
        assert first.wait().state is JobState.DONE
