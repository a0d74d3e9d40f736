"""Methods that serve blocking callers, asyncio callers and other calls alike."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Self, overload

from typing_extensions import TypeVar

from trackfarm.client.async_driver import AsyncDriver
from trackfarm.client.sansio import Steps, Stream, Value
from trackfarm.client.sync_driver import SyncDriver


class StepsOnly:
    """No driver: calls return their steps, to be part of another call."""


Mode = TypeVar("Mode", SyncDriver, AsyncDriver, StepsOnly, default=SyncDriver)
_Params = ParamSpec("_Params")


class HasDriver(Generic[Mode]):
    """Base class of objects with calls; `driver` decides how they run."""

    driver: Mode


class call(Generic[_Params, Value]):
    """A method with one result: returned at once, by `await`, or as steps for another call."""

    def __init__(self, steps: Callable[Concatenate[Any, _Params], Steps[Value]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Self: ...
    @overload
    def __get__(
        self, instance: HasDriver[SyncDriver], owner: type[object]
    ) -> Callable[_Params, Value]: ...
    @overload
    def __get__(
        self, instance: HasDriver[AsyncDriver], owner: type[object]
    ) -> Callable[_Params, Coroutine[Any, Any, Value]]: ...
    @overload
    def __get__(
        self, instance: HasDriver[StepsOnly], owner: type[object]
    ) -> Callable[_Params, Steps[Value]]: ...
    def __get__(self, instance: HasDriver[Any] | None, owner: type[object]) -> Any:
        if instance is None:
            return self

        def called(*args: _Params.args, **kwargs: _Params.kwargs) -> Any:
            steps = self._steps(instance, *args, **kwargs)
            return steps if isinstance(instance.driver, StepsOnly) else instance.driver.run(steps)

        return update_wrapper(called, self._steps)


class stream(Generic[_Params, Value]):
    """A method that yields items, to `for` or to `async for`."""

    def __init__(self, steps: Callable[Concatenate[Any, _Params], Stream[Value]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Self: ...
    @overload
    def __get__(
        self, instance: HasDriver[SyncDriver], owner: type[object]
    ) -> Callable[_Params, Iterator[Value]]: ...
    @overload
    def __get__(
        self, instance: HasDriver[AsyncDriver], owner: type[object]
    ) -> Callable[_Params, AsyncIterator[Value]]: ...
    @overload
    def __get__(
        self, instance: HasDriver[StepsOnly], owner: type[object]
    ) -> Callable[_Params, Stream[Value]]: ...
    def __get__(self, instance: HasDriver[Any] | None, owner: type[object]) -> Any:
        if instance is None:
            return self

        def called(*args: _Params.args, **kwargs: _Params.kwargs) -> Any:
            steps = self._steps(instance, *args, **kwargs)
            return (
                steps if isinstance(instance.driver, StepsOnly) else instance.driver.iterate(steps)
            )

        return update_wrapper(called, self._steps)
