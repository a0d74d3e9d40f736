"""Client that sends half a catalog with an idempotency key and then waits to be killed.

Arguments: key, number of briefs sent.
"""

import os
import sys
import time
from collections.abc import Iterator

from tests.end_to_end.catalogs import short_briefs
from trackfarm.catalog import Brief
from trackfarm.client import Client
from trackfarm.protocol.operator import JobHeader


def half(count: int) -> Iterator[Brief]:
    yield from short_briefs(count)
    print("half", flush=True)
    time.sleep(600)


with Client(os.environ["TRACKFARM_URL"], os.environ["TRACKFARM_API_KEY"]) as client:
    header = JobHeader(catalog="dying", model_set="tiny")
    client.submit(header, half(int(sys.argv[2])), idempotency_key=sys.argv[1])
