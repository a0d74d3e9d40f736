"""CLI commands that rent machines."""
