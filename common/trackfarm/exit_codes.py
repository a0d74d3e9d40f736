"""How all our processes end when there is no use in starting them again as they are."""

BAD_SETTINGS = 2  # not usable
