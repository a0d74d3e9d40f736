"""What a worker's exit code says beside `trackfarm.exit_codes`; 0 is a worker that has drained."""

CANNOT_GO_ON = 1
FORSAKEN = 3  # rented, and its farm is away or does not want it any more
