"""Job priority (pure): the interactive lane, then deadlines in danger, then priority that grows
with age, then fair shares of the farm."""

from trackfarm_scheduler.policy.models import JobPriority, Lane

AGEING = 10.0 / 3600  # priority points a waiting job gains per second: ten an hour
DANGER = 1.25  # a deadline is in danger when the work left takes this much of the time left
WEIGHT_STEP = 10.0  # priority points that double a job's share
BAND = 10.0  # priorities closer than this share the farm instead of taking turns


def is_in_danger(standing: JobPriority, now: float) -> bool:
    """Return whether the deadline will be missed unless the job goes first."""
    if standing.deadline is None:
        return False
    return DANGER * standing.seconds_left >= standing.deadline - now


def aged_priority(standing: JobPriority, now: float) -> float:
    """Return the priority plus its gain while the job got no shard, so that no job starves."""
    return standing.priority + AGEING * max(0.0, now - standing.last_shard_at)


def weight(priority: float) -> float:
    """Return a job's relative share, doubled by each WEIGHT_STEP points."""
    return float(2.0 ** (priority / WEIGHT_STEP))


def rank(standing: JobPriority, just_taken: float, now: float) -> tuple[float, ...]:
    """Return the sort key, smallest first. `just_taken`: seconds given to the job in this round."""
    aged = aged_priority(standing, now)
    in_danger = is_in_danger(standing, now)
    slack = (standing.deadline or 0.0) - now if in_danger else 0.0
    return (
        0 if standing.lane is Lane.INTERACTIVE else 1,
        0 if in_danger else 1,
        slack,
        -(aged // BAND),
        (standing.in_flight + just_taken) / weight(aged),
        standing.created_at,
    )
