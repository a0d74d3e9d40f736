"""Limits of the farm that is open to the internet, short to keep the tests fast."""

HEAD_SECONDS, BODY_SECONDS = 1.0, 1.0
SUBMISSION_BYTES = 200_000
