"""The farm's Celery as Flower sees it: `celery -A trackfarm.flower flower`.

The broker is the scheduler's, by the same variable. Flower only listens here: workers send events and
obey no remote control.
"""

import os

from trackfarm.broker import celery_app

BROKER_VARIABLE = "TRACKFARM_SCHEDULER_BROKER_URL"

app = celery_app(os.environ.get(BROKER_VARIABLE, "redis://127.0.0.1:6379/0"), client_name="flower")
