"""Exit codes of a worker in addition to `trackfarm.exit_codes`; 0 means that it has drained."""

CANNOT_GO_ON = 1
FORSAKEN = 3  # rented, and its scheduler is unreachable or no longer accepts it
