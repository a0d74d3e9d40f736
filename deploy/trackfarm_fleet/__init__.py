"""The fleet: rents, drains, returns and cleans up machines, within a budget."""
