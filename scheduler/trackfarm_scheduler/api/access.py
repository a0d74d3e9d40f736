"""Immediate revocation of a departed worker's access."""

from trackfarm_scheduler.badges import Badges
from trackfarm_scheduler.farm import Farm


def end_access(farm: Farm, badges: Badges, worker_id: str) -> None:
    """Void a worker's token and broker user, and wake the placer for the tracks it held.

    Call it once the database says that the worker has left.
    """
    badges.forget(worker_id)
    if farm.users is not None:
        farm.users.withdraw([worker_id])
    farm.placing.wake()
