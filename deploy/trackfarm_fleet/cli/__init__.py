"""The commands of `trackfarm` that rent machines."""
