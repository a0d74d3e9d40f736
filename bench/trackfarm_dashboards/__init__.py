"""Grafana's dashboards, written once in Python: laid out, shown as JSON, and drawn without Grafana."""
