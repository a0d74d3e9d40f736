"""The asyncio driver: runs calls without blocking the event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from functools import partial
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying

from trackfarm.client.connection import Connection, HashingFile, download_failed, request_options
from trackfarm.client.errors import RequestRefused, RetryableResponse, require_success
from trackfarm.client.sansio import (
    Gather,
    Item,
    OpenStream,
    Outcome,
    Pause,
    ReadLine,
    Request,
    Returned,
    RunInThread,
    Save,
    Send,
    Step,
    StepDone,
    StepFailed,
    Steps,
    Stream,
    Value,
    advance,
    blocks_of,
)
from trackfarm.client.sync_driver import CHUNK_BYTES


class AsyncDriver:
    """Connections to one farm and its object store, for one event loop."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._farm = httpx.AsyncClient(**connection.farm_options())
        self._store = httpx.AsyncClient(**connection.store_options(), follow_redirects=True)

    async def close(self) -> None:
        await self._farm.aclose()
        await self._store.aclose()

    async def run(self, call: Steps[Value]) -> Value:
        """Run the call to its end; return its result or raise its error."""
        with closing(call):
            async with _AsyncLineReader() as reader:
                step = advance(call)
                while not isinstance(step, Returned):
                    step = advance(call, await self._outcome(step, reader))
                return step.value

    async def iterate(self, calls: Stream[Value]) -> AsyncIterator[Value]:
        """Yield the items of the stream; leaving the loop early closes everything it opened."""
        with closing(calls):
            async with _AsyncLineReader() as reader:
                step = advance(calls)
                while not isinstance(step, Returned):
                    if isinstance(step, Item):
                        yield step.value
                        step = advance(calls)
                    else:
                        step = advance(calls, await self._outcome(step, reader))

    async def _outcome(self, step: Step, reader: "_AsyncLineReader") -> Outcome:
        try:
            return StepDone(await self._execute(step, reader))
        except Exception as error:  # noqa: BLE001 (passed on to the call)
            return StepFailed(error)

    async def _execute(self, step: Step, reader: "_AsyncLineReader") -> Any:
        match step:
            case Send(request, retry_if):
                retry = AsyncRetrying(**self.connection.retry_options(retry_if))
                return await self._translate_errors(retry(self._send, request))
            case Save():
                return await self._save(step)
            case OpenStream(request):
                return await self._translate_errors(reader.open(self._farm, request))
            case ReadLine():
                return await self._translate_errors(reader.next_line())
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case RunInThread(function):
                return await asyncio.to_thread(function)
            case Gather():
                return await self._gather(step)

    async def _gather(self, step: Gather) -> list[Any]:
        slots = asyncio.Semaphore(step.at_once)

        async def in_turn(call: Steps[Any]) -> Any:
            async with slots:
                return await self.run(call)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(in_turn(call)) for call in step.calls]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # like the blocking driver
        return [task.result() for task in tasks]

    async def _translate_errors(self, attempt: Awaitable[Value]) -> Value:
        try:
            return await attempt
        except (httpx.TransportError, RetryableResponse) as error:
            raise self.connection.final_error(error) from error

    async def _send(self, request: Request) -> httpx.Response:
        http = self._store if request.is_signed else self._farm
        body = blocks_of(request)
        content = body if body is None or isinstance(body, bytes) else _from_thread(body)
        options = request_options(request)
        return require_success(
            await http.request(request.method, request.url, content=content, **options)
        )

    async def _save(self, step: Save) -> str:
        try:
            async with self._store.stream("GET", step.url) as response:
                if not response.is_success:
                    await response.aread()
                with HashingFile(step.path) as file:
                    async for chunk in require_success(response).aiter_bytes(CHUNK_BYTES):
                        file.write(chunk)
                    return file.sha256
        except (httpx.TransportError, RetryableResponse, RequestRefused) as error:
            raise download_failed(error) from error


async def _from_thread(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the blocks, each produced in a thread so that the event loop is not blocked."""
    next_block: Callable[[], bytes | None] = partial(next, blocks, None)
    while (block := await asyncio.to_thread(next_block)) is not None:
        yield block


class _AsyncLineReader:
    """The open HTTP response of one call, read line by line."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._lines: AsyncIterator[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(self, http: httpx.AsyncClient, request: Request) -> str | None:
        await self._stack.aclose()
        opening = http.stream(request.method, request.url, **request_options(request))
        response = await self._stack.enter_async_context(opening)
        if not response.is_success:
            await response.aread()
        self._lines = require_success(response).aiter_lines()
        return await self.next_line()

    async def next_line(self) -> str | None:
        assert self._lines is not None, "no stream is open"
        return await anext(self._lines, None)
