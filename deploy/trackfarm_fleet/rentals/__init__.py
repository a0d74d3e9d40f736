"""Rented machines: their records, observation and state machine."""
