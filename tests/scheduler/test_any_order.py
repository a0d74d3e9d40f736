"""Whatever happens in whatever order: no track is lost, doubled, or leased to nobody.

That the invariants would notice is shown in test_mutations.py.
"""

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.scheduler.any_farm import FarmInAnyOrder


def test_any_order(sqlite_template: Path) -> None:
    FarmInAnyOrder.template = sqlite_template
    run_state_machine_as_test(
        FarmInAnyOrder,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
