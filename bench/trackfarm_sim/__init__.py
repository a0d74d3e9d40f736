"""Simulates a farm: the scheduler's own pure decisions under a fake clock, on machines that are
slow, late, taken away or broken."""
