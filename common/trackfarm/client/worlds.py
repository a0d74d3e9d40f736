"""Who drives a call, and how the same method serves each of them."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Self, overload

from typing_extensions import TypeVar

from trackfarm.client.awaiting import Awaiting
from trackfarm.client.blocking import Blocking
from trackfarm.client.steps import Steps, Stream, Value


class Plain:
    """Drives nothing: for calls that are part of another one."""


World = TypeVar("World", Blocking, Awaiting, Plain, default=Blocking)
_Given = ParamSpec("_Given")


class Driven(Generic[World]):
    """Whoever has calls, and the driver of the world that it belongs to."""

    driver: World


class call(Generic[_Given, Value]):
    """A method that gives one answer: at once, by `await`, or as steps for another call."""

    def __init__(self, steps: Callable[Concatenate[Any, _Given], Steps[Value]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, held: None, kind: type[object]) -> Self: ...
    @overload
    def __get__(self, held: Driven[Blocking], kind: type[object]) -> Callable[_Given, Value]: ...
    @overload
    def __get__(
        self, held: Driven[Awaiting], kind: type[object]
    ) -> Callable[_Given, Coroutine[Any, Any, Value]]: ...
    @overload
    def __get__(
        self, held: Driven[Plain], kind: type[object]
    ) -> Callable[_Given, Steps[Value]]: ...
    def __get__(self, held: Driven[Any] | None, kind: type[object]) -> Any:
        if held is None:
            return self

        def called(*args: _Given.args, **kwargs: _Given.kwargs) -> Any:
            steps = self._steps(held, *args, **kwargs)
            return steps if isinstance(held.driver, Plain) else held.driver.run(steps)

        return update_wrapper(called, self._steps)


class stream(Generic[_Given, Value]):
    """A method that gives answers one by one: to `for`, or to `async for`."""

    def __init__(self, steps: Callable[Concatenate[Any, _Given], Stream[Value]]) -> None:
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, held: None, kind: type[object]) -> Self: ...
    @overload
    def __get__(
        self, held: Driven[Blocking], kind: type[object]
    ) -> Callable[_Given, Iterator[Value]]: ...
    @overload
    def __get__(
        self, held: Driven[Awaiting], kind: type[object]
    ) -> Callable[_Given, AsyncIterator[Value]]: ...
    @overload
    def __get__(
        self, held: Driven[Plain], kind: type[object]
    ) -> Callable[_Given, Stream[Value]]: ...
    def __get__(self, held: Driven[Any] | None, kind: type[object]) -> Any:
        if held is None:
            return self

        def called(*args: _Given.args, **kwargs: _Given.kwargs) -> Any:
            steps = self._steps(held, *args, **kwargs)
            return steps if isinstance(held.driver, Plain) else held.driver.go_through(steps)

        return update_wrapper(called, self._steps)
