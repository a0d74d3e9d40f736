"""Celery queues and the users of the Redis broker."""
