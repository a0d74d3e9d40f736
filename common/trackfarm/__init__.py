"""Turns a catalog of music briefs into finished tracks on rented GPUs."""

__version__ = "0.1.0"
