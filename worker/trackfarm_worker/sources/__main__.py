"""The source process: reads one order from stdin, fetches, decodes, answers on stdout, ends."""

import errno
import os
import resource
import sys

from trackfarm.embedded.leash import tie_to_parent
from trackfarm_worker.sources.alarm import Overdue, alarm
from trackfarm_worker.sources.answers import (
    Answer,
    Limits,
    SourceAway,
    SourceOrder,
    SourceRefused,
    answer_line,
    read_order,
)
from trackfarm_worker.sources.decode import decode
from trackfarm_worker.sources.fetch import Fetched, fetch

ORPHANED = 3
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def _confine(limits: Limits) -> None:
    """What the kernel holds this process to, whatever a decoder does."""
    decoded = int(limits.audio_seconds + 1) * 48_000 * 2 * 4
    # The softer limit comes first and says what it was: SIGXCPU.
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
        return SourceRefused("it is not what was uploaded: its SHA-256 differs; upload it again")
    try:
        with alarm(order.limits.decode_seconds):
            return decode(order.download, order.target, order.limits)
    except Overdue:
        return SourceRefused(f"it takes over {order.limits.decode_seconds:g} s to decode")


def main() -> int:
    order = read_order(sys.stdin.readline())
    if not tie_to_parent(order.parent):
        return ORPHANED
    _confine(order.limits)
    try:
        answer = _answer(order)
    except MemoryError:
        answer = _too_much(order.limits)
    except OSError as error:
        answer = _not_stored(error, order.limits)
    finally:
        order.download.unlink(missing_ok=True)
    print(answer_line(answer), flush=True)
    return 0


def _not_stored(error: OSError, limits: Limits) -> SourceRefused | SourceAway:
    if error.errno == errno.ENOMEM:
        return _too_much(limits)
    return SourceAway(f"the worker could not store it: {error}", error.errno in NO_ROOM)


def _too_much(limits: Limits) -> SourceRefused:
    return SourceRefused(f"it takes over {limits.memory / 1e6:,.0f} MB of memory")


if __name__ == "__main__":
    # The answer is given: what a decoder may have done to this process cannot spoil it any more.
    os._exit(main())
