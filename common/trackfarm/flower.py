"""Celery app for Flower: `celery -A trackfarm.flower flower`.

Uses the scheduler's broker, set by the same variable. Flower only listens: workers send events and
ignore remote control.
"""

import os

from trackfarm.broker import celery_app

BROKER_VARIABLE = "TRACKFARM_SCHEDULER_BROKER_URL"

app = celery_app(os.environ.get(BROKER_VARIABLE, "redis://127.0.0.1:6379/0"), client_name="flower")
