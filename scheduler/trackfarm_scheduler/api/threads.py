"""Threads for what workers send, apart from those of all other requests: whoever looks never waits
for a thousand reports, and no report for those who look."""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

from anyio import to_thread

from trackfarm_scheduler.farm import Farm

P = ParamSpec("P")
T = TypeVar("T")


def among_workers(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Runs a route, one of whose parameters is `farm`, in a thread of the workers' own."""

    @wraps(work)
    async def run(*args: P.args, **given: P.kwargs) -> T:
        farm = cast(Farm, given["farm"])
        return await to_thread.run_sync(partial(work, *args, **given), limiter=farm.wire_threads)

    return run
