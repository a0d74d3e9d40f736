"""Decisions about how many machines to rent: pure, without I/O."""
