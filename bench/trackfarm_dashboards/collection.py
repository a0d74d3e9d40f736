"""All dashboards, in reading order."""

from trackfarm_dashboards.fleet import FLEET
from trackfarm_dashboards.jobs import JOBS
from trackfarm_dashboards.scheduler import SCHEDULER
from trackfarm_dashboards.workers import WORKERS_AND_GPUS

DASHBOARDS = (FLEET, JOBS, WORKERS_AND_GPUS, SCHEDULER)
