"""What a worker's exit code says; 0 is a worker that has drained."""

CANNOT_GO_ON = 1
BAD_SETTINGS = 2  # not usable
FORSAKEN = 3  # rented, and its farm is away or does not want it any more
