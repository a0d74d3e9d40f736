"""Following a job while the farm fails temporarily, and when it refuses."""

import pytest

from trackfarm.client.errors import RequestRefused
from trackfarm.client.sansio import Item
from trackfarm.protocol.base import ProblemDetails
from trackfarm.sdk.events import Outage, follow


def refused(status: int) -> RequestRefused:
    return RequestRefused(ProblemDetails(title="no", status=status, detail=""))


@pytest.mark.parametrize("status", [429, 500])
def test_follow_waits_for_a_farm_that_fails_or_is_busy(status: int) -> None:
    seconds = iter([0.0, 0.0, 0.0, 5.0, 5.0, 130.0])
    steps = follow("job_1", clock=lambda: next(seconds))
    next(steps)
    assert steps.throw(refused(status)) == Item(Outage(0.0))
    next(steps)
    next(steps)
    assert steps.throw(refused(status)) == Item(Outage(5.0))
    next(steps)
    next(steps)
    with pytest.raises(RequestRefused):
        steps.throw(refused(status))


def test_follow_stops_at_a_refusal() -> None:
    steps = follow("job_1")
    next(steps)
    with pytest.raises(RequestRefused):
        steps.throw(refused(404))
