"""What Prometheus sees: running totals out of the database, and the present state of the farm."""

from trackfarm_scheduler.metrics.exporter import FarmCollector, collector_of, exposition

__all__ = ["FarmCollector", "collector_of", "exposition"]
