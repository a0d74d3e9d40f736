"""One Celery worker for one GPU and one model set."""
