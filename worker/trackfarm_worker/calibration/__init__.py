"""Calibration of a machine with its model set: measured once, reported at registration."""
