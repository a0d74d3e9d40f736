"""The blocking driver: runs calls in the caller's thread."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, Self

import httpx
from tenacity import Retrying

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

CHUNK_BYTES = 256 * 1024


class SyncDriver:
    """Connections to one farm and its object store. Safe to use from several threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._farm = httpx.Client(**connection.farm_options())
        self._store = httpx.Client(**connection.store_options(), follow_redirects=True)

    def close(self) -> None:
        self._farm.close()
        self._store.close()

    def run(self, call: Steps[Value]) -> Value:
        """Run the call to its end; return its result or raise its error."""
        with closing(call), _LineReader() as reader:
            step = advance(call)
            while not isinstance(step, Returned):
                step = advance(call, self._outcome(step, reader))
            return step.value

    def iterate(self, calls: Stream[Value]) -> Iterator[Value]:
        """Yield the items of the stream; leaving the loop early closes everything it opened."""
        with closing(calls), _LineReader() as reader:
            step = advance(calls)
            while not isinstance(step, Returned):
                if isinstance(step, Item):
                    yield step.value
                    step = advance(calls)
                else:
                    step = advance(calls, self._outcome(step, reader))

    def _outcome(self, step: Step, reader: "_LineReader") -> Outcome:
        try:
            return StepDone(self._execute(step, reader))
        except Exception as error:  # noqa: BLE001 (passed on to the call)
            return StepFailed(error)

    def _execute(self, step: Step, reader: "_LineReader") -> Any:
        match step:
            case Send(request, retry_if):
                retry = Retrying(**self.connection.retry_options(retry_if))
                return self._translate_errors(lambda: retry(self._send, request))
            case Save():
                return self._save(step)
            case OpenStream(request):
                return self._translate_errors(lambda: reader.open(self._farm, request))
            case ReadLine():
                return self._translate_errors(reader.next_line)
            case Pause(seconds):
                return time.sleep(seconds)
            case RunInThread(function):
                return function()
            case Gather(calls, at_once):
                return self._gather(calls, at_once)

    def _gather(self, calls: Iterable[Steps[Any]], at_once: int) -> list[Any]:
        pool = ThreadPoolExecutor(at_once)
        try:
            return list(pool.map(self.run, calls))
        finally:
            pool.shutdown(cancel_futures=True)

    def _translate_errors(self, attempt: Callable[[], Value]) -> Value:
        try:
            return attempt()
        except (httpx.TransportError, RetryableResponse) as error:
            raise self.connection.final_error(error) from error

    def _send(self, request: Request) -> httpx.Response:
        http = self._store if request.is_signed else self._farm
        body = blocks_of(request)
        options = request_options(request)
        return require_success(http.request(request.method, request.url, content=body, **options))

    def _save(self, step: Save) -> str:
        try:
            with self._store.stream("GET", step.url) as response, HashingFile(step.path) as file:
                if not response.is_success:
                    response.read()
                for chunk in require_success(response).iter_bytes(CHUNK_BYTES):
                    file.write(chunk)
                return file.sha256
        except (httpx.TransportError, RetryableResponse, RequestRefused) as error:
            raise download_failed(error) from error


class _LineReader:
    """The open HTTP response of one call, read line by line."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lines: Iterator[str] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, http: httpx.Client, request: Request) -> str | None:
        self._stack.close()
        opening = http.stream(request.method, request.url, **request_options(request))
        response = self._stack.enter_context(opening)
        if not response.is_success:
            response.read()
        self._lines = require_success(response).iter_lines()
        return self.next_line()

    def next_line(self) -> str | None:
        return next(self._lines, None)
