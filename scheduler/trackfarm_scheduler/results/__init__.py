"""Verification and recording of reported results."""
