"""A simulated market of machines, on which the real autoscaler rents."""
