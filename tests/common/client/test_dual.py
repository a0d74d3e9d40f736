"""One method for blocking callers, for asyncio callers and for other calls."""

import asyncio
from collections.abc import Iterator

import pytest

from trackfarm.client.async_driver import AsyncDriver
from trackfarm.client.connection import Connection
from trackfarm.client.dual import HasDriver, Mode, StepsOnly, call, stream
from trackfarm.client.sansio import Item, Returned, RunInThread, Steps, Stream, advance
from trackfarm.client.sync_driver import SyncDriver

NOWHERE = Connection("http://127.0.0.1:1", "key")


class Doubler(HasDriver[Mode]):
    def __init__(self, driver: Mode) -> None:
        self.driver = driver

    @call
    def double(self, number: int) -> Steps[int]:
        """Return twice the number."""
        result: int = yield RunInThread(lambda: 2 * number)
        return result

    @stream
    def doubles(self, *numbers: int) -> Stream[int]:
        for number in numbers:
            yield Item((yield from Doubler(StepsOnly()).double(number)))


@pytest.fixture
def blocking() -> Iterator[Doubler[SyncDriver]]:
    driver = SyncDriver(NOWHERE)
    yield Doubler(driver)
    driver.close()


def test_call_with_a_sync_driver_returns_its_result(blocking: Doubler[SyncDriver]) -> None:
    assert blocking.double(4) == 8
    assert list(blocking.doubles(1, 2, 3)) == [2, 4, 6]


def test_call_with_an_async_driver_is_awaited() -> None:
    async def scenario() -> tuple[int, list[int]]:
        doubler = Doubler(AsyncDriver(NOWHERE))
        results = [number async for number in doubler.doubles(1, 2)]
        result = await doubler.double(5)
        await doubler.driver.close()
        return result, results

    assert asyncio.run(scenario()) == (10, [2, 4])


def test_call_without_a_driver_returns_its_steps() -> None:
    steps = Doubler(StepsOnly()).double(3)
    step = advance(steps)
    assert isinstance(step, RunInThread)
    assert step.function() == 6
    with pytest.raises(StopIteration) as end:
        steps.send(6)
    assert end.value.value == 6


def test_call_keeps_name_and_docstring(blocking: Doubler[SyncDriver]) -> None:
    assert Doubler.double.__doc__ == "Return twice the number."
    assert blocking.double.__name__ == "double"


def test_stream_left_early_closes_its_steps(blocking: Doubler[SyncDriver]) -> None:
    numbers = blocking.doubles(1, 2, 3)
    assert next(iter(numbers)) == 2
    numbers.close()  # type: ignore[attr-defined]
    assert list(numbers) == []


def test_advance_returns_the_result_at_the_end() -> None:
    def steps() -> Steps[str]:
        return "done"
        yield

    assert advance(steps()) == Returned("done")
