"""Scheduler: plans, places, recovers and records. The only process that opens the database."""
