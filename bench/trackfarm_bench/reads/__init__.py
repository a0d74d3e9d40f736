"""Latency of the API while a farm works, and after a burst of single calls."""
