"""Rents, drains, returns and reaps machines. The room is kept; its providers come later."""
