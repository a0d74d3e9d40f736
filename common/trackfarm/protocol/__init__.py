"""Models of every message between processes, and of the public API."""
