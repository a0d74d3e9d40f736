"""The workers of the farm that the chaos tests share."""

WORKER_NAMES = ("one", "two")
SLOW_STEPS = {"step_delay": 0.1}  # slow enough to be caught in the middle of a track
