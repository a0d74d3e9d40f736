"""Any order of events: no track is lost, duplicated, or leased without a worker.

test_mutations.py shows that the invariants detect violations.
"""

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scheduler.random_farm import RandomFarm


def test_farm_keeps_its_invariants_in_any_order(sqlite_template: Path) -> None:
    RandomFarm.template = sqlite_template
    run_state_machine_as_test(
        RandomFarm,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
