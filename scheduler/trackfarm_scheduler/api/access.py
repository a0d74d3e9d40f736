"""What a worker that has left can reach no more, at once."""

from trackfarm_scheduler.badges import Badges
from trackfarm_scheduler.farm import Farm


def end_access(farm: Farm, badges: Badges, worker_id: str) -> None:
    """To be called when the database says that it has left; what it held is placed again."""
    badges.forget(worker_id)
    if farm.users is not None:
        farm.users.withdraw([worker_id])
    farm.placing.wake()
