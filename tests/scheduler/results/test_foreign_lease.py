"""Log of workers that name a lease of another worker."""

from structlog.testing import capture_logs

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db import leases
from trackfarm_scheduler.results.foreign_lease import log_foreign_lease


def test_foreign_lease_is_logged_and_an_own_one_is_not(farm: FarmFixture, job_id: str) -> None:
    owner, other = farm.join("owner"), farm.join("other")
    offer = farm.lease(owner, job_id)
    with farm.database.read() as session:
        lease = leases.get(session, offer.lease_id)
        with capture_logs() as logs:
            log_foreign_lease(owner, lease, "claim")
            log_foreign_lease(other, None, "claim")
            log_foreign_lease(other, lease, "report")
    assert logs == [
        {
            "event": "foreign_lease_used",
            "log_level": "warning",
            "worker": other.id,
            "lease": offer.lease_id,
            "call": "report",
        }
    ]
