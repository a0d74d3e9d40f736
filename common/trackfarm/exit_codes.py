"""Exit codes, in all our processes, for errors that a restart would not fix."""

BAD_SETTINGS = 2
