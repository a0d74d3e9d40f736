"""Rents, drains, returns and reaps machines, within a budget."""
