"""Credentials of callers, and the farm's own certificate authority."""
