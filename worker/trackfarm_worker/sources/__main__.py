"""Source process: read one order from stdin, fetch, decode, write the result to stdout, exit."""

import errno
import os
import resource
import sys

from trackfarm.embedded.pdeathsig import tie_to_parent
from trackfarm_worker.sources.decode import decode
from trackfarm_worker.sources.fetch import Fetched, TimeLimitExceeded, fetch, time_limit
from trackfarm_worker.sources.protocol import (
    SourceLimits,
    SourceOrder,
    SourceRefused,
    SourceResult,
    SourceUnavailable,
    read_order,
    result_line,
)

ORPHANED = 3
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def main() -> int:
    order = read_order(sys.stdin.readline())
    if not tie_to_parent(order.parent):
        return ORPHANED
    _confine(order.limits)
    try:
        result = _prepare(order)
    except MemoryError:
        result = _too_much_memory(order.limits)
    except OSError as error:
        result = _storage_failure(error, order.limits)
    finally:
        order.download.unlink(missing_ok=True)
    print(result_line(result), flush=True)
    return 0


def _confine(limits: SourceLimits) -> None:
    """Set the kernel limits of this process, which a decoder cannot exceed."""
    decoded = int(limits.audio_seconds + 1) * 48_000 * 2 * 4
    # The soft limit comes first, and its signal (SIGXCPU) names the cause.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, max(limits.max_bytes, decoded)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _prepare(order: SourceOrder) -> SourceResult:
    fetched = fetch(
        order.url,
        order.download,
        order.limits,
        is_signed=order.is_signed,
        policy=order.policy,
        ca_file=order.ca_file,
    )
    if not isinstance(fetched, Fetched):
        return fetched
    if order.sha256 not in (None, fetched.sha256):
        return SourceRefused("its SHA-256 differs from that of the upload; upload it again")
    try:
        with time_limit(order.limits.decode_seconds):
            return decode(order.download, order.target, order.limits)
    except TimeLimitExceeded:
        return SourceRefused(f"decoding takes more than {order.limits.decode_seconds:g} s")


def _storage_failure(error: OSError, limits: SourceLimits) -> SourceRefused | SourceUnavailable:
    if error.errno == errno.ENOMEM:
        return _too_much_memory(limits)
    return SourceUnavailable(f"the worker could not store it: {error}", error.errno in DISK_FULL)


def _too_much_memory(limits: SourceLimits) -> SourceRefused:
    return SourceRefused(f"decoding needs more than {limits.memory_bytes / 1e6:,.0f} MB of memory")


if __name__ == "__main__":
    # The result is written; skip cleanup, which a decoder may have corrupted.
    os._exit(main())
