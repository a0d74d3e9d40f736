"""Egress of asynchronous clients: the same rules, and no wait for a slow resolver."""

import asyncio
import threading
import time
from collections.abc import Sequence

import httpx
import pytest

from tests.common.net.test_ssrf import NEAR, Names, listening
from trackfarm.net.ssrf import AsyncGuardedTransport, EgressDenied, EgressPolicy, Resolver


def get(url: str, resolver: Resolver, policy: EgressPolicy = NEAR) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = AsyncGuardedTransport(policy, resolver=resolver)
        async with httpx.AsyncClient(transport=transport, timeout=5) as client:
            return await client.get(url)

    return asyncio.run(ask())


def test_async_transport_connects_to_the_checked_address_by_name() -> None:
    names = Names(["127.0.0.2"])
    with listening("127.0.0.2") as server:
        answer = get(f"http://music.example:{server.port}/a", names)
    assert (answer.status_code, answer.content) == (200, b"music")
    assert [r.headers["host"] for r in server.requests] == [f"music.example:{server.port}"]
    assert names.asked == [("music.example", server.port)], "once: the checked address is used"


def test_async_transport_denies_a_name_with_any_private_address() -> None:
    with pytest.raises(EgressDenied, match=r"10\.0\.0\.1 is not a public address"):
        get("http://music.example/", Names(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(EgressDenied, match="protocol ftp"):
        get("ftp://music.example/", Names(["8.8.8.8"]))


def test_async_transport_tries_the_next_address() -> None:
    loopback = EgressPolicy(ports=(), networks=("127.0.0.0/8",))
    with listening("127.0.0.2") as server:
        names = Names(["127.0.0.3", "127.0.0.2"])
        assert get(f"http://music.example:{server.port}/", names, loopback).is_success


def test_async_transport_reports_an_unknown_name_as_no_connection() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(httpx.ConnectError):
        get("http://music.example/", unknown)


def test_async_transport_does_not_wait_for_a_resolver_when_cancelled() -> None:
    released = threading.Event()

    def slow(host: str, port: int) -> Sequence[str]:
        released.wait(10)
        return ["127.0.0.2"]

    async def ask() -> float:
        start = time.monotonic()
        async with httpx.AsyncClient(
            transport=AsyncGuardedTransport(NEAR, resolver=slow)
        ) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.get("http://music.example/")
        took = time.monotonic() - start
        released.set()
        return took

    assert asyncio.run(ask()) < 5
