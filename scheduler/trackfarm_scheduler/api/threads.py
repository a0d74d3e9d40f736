"""A separate thread pool for worker requests.

A thousand reports never delay an operator's requests, nor the other way round.
"""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

from anyio import to_thread

from trackfarm_scheduler.farm import Farm

P = ParamSpec("P")
T = TypeVar("T")


def among_workers(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run a route in the thread pool of the workers; the route must have a parameter `farm`."""

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        farm = cast(Farm, kwargs["farm"])
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=farm.wire_threads)

    return run
