"""A market of machines for the simulated farm: the real scaler rents on it."""
