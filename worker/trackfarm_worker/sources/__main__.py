"""Source process: read one order from stdin, fetch, decode, answer on stdout, exit."""

import errno
import os
import resource
import sys

from trackfarm.embedded.pdeathsig import tie_to_parent
from trackfarm_worker.sources.decode import decode
from trackfarm_worker.sources.fetch import Fetched, Overdue, alarm, fetch
from trackfarm_worker.sources.protocol import (
    Answer,
    SourceAway,
    SourceLimits,
    SourceOrder,
    SourceRefused,
    answer_line,
    read_order,
)

ORPHANED = 3
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def _confine(limits: SourceLimits) -> None:
    """Set the kernel limits of this process, which a decoder cannot exceed."""
    decoded = int(limits.audio_seconds + 1) * 48_000 * 2 * 4
    # The soft limit comes first, and its signal (SIGXCPU) names the cause.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, max(limits.size, decoded)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _answer(order: SourceOrder) -> Answer:
    fetched = fetch(
        order.url,
        order.download,
        order.limits,
        is_signed=order.is_signed,
        rules=order.rules,
        ca_file=order.ca_file,
    )
    if not isinstance(fetched, Fetched):
        return fetched
    if order.sha256 not in (None, fetched.sha256):
        return SourceRefused("its SHA-256 differs from that of the upload; upload it again")
    try:
        with alarm(order.limits.decode_seconds):
            return decode(order.download, order.target, order.limits)
    except Overdue:
        return SourceRefused(f"decoding takes more than {order.limits.decode_seconds:g} s")


def main() -> int:
    order = read_order(sys.stdin.readline())
    if not tie_to_parent(order.parent):
        return ORPHANED
    _confine(order.limits)
    try:
        answer = _answer(order)
    except MemoryError:
        answer = _too_much_memory(order.limits)
    except OSError as error:
        answer = _storage_failure(error, order.limits)
    finally:
        order.download.unlink(missing_ok=True)
    print(answer_line(answer), flush=True)
    return 0


def _storage_failure(error: OSError, limits: SourceLimits) -> SourceRefused | SourceAway:
    if error.errno == errno.ENOMEM:
        return _too_much_memory(limits)
    return SourceAway(f"the worker could not store it: {error}", error.errno in NO_ROOM)


def _too_much_memory(limits: SourceLimits) -> SourceRefused:
    return SourceRefused(f"decoding needs more than {limits.memory / 1e6:,.0f} MB of memory")


if __name__ == "__main__":
    # The answer is written; skip cleanup, which a decoder may have corrupted.
    os._exit(main())
