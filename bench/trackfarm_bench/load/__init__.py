"""Throughput of the scheduler's placement and commits, and the cost of each track."""
