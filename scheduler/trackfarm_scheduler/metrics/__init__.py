"""Prometheus metrics: running totals from the database, and the current state of the farm."""

from trackfarm_scheduler.metrics.exporter import FarmCollector, collector_of, exposition

__all__ = ["FarmCollector", "collector_of", "exposition"]
