"""Grafana dashboards, written once in Python: laid out, exported as JSON, and drawn without
Grafana."""
