"""The HTTP API: operators at `/api/v1`, workers at `/worker/v1`, metrics and health."""
