"""Following a job while the farm fails temporarily, and when it refuses."""

import pytest

from trackfarm.client.endings import Refused
from trackfarm.client.steps import Item
from trackfarm.sdk.following import Outage, follow
from trackfarm.wire import Problem


def refused(status: int) -> Refused:
    return Refused(Problem(title="no", status=status, detail=""))


@pytest.mark.parametrize("status", [429, 500])
def test_a_farm_that_fails_or_is_busy_is_waited_for(status: int) -> None:
    seconds = iter([0.0, 0.0, 0.0, 5.0, 5.0, 130.0])
    steps = follow("job_1", clock=lambda: next(seconds))
    next(steps)
    assert steps.throw(refused(status)) == Item(Outage(0.0))
    next(steps)
    next(steps)
    assert steps.throw(refused(status)) == Item(Outage(5.0))
    next(steps)
    next(steps)
    with pytest.raises(Refused):
        steps.throw(refused(status))


def test_a_farm_that_says_no_is_believed() -> None:
    steps = follow("job_1")
    next(steps)
    with pytest.raises(Refused):
        steps.throw(refused(404))
