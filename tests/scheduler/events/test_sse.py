"""Server-sent events as bytes, and the buffer of one subscriber."""

import asyncio
import json

import pytest

from trackfarm_scheduler.events.sse import (
    MAX_QUEUED_BYTES,
    Subscriber,
    frame,
    joined,
    last_event_id,
)


def test_frame_has_one_line_of_data_whatever_the_text() -> None:
    text = frame("track", {"name": "a\nb\r\u2028c"}, 7).decode()
    head, event, data, *rest = text.split("\n")
    assert (head, event, rest) == ("id: 7", "event: track", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {"name": "a\nb\r\u2028c"}
    assert frame("progress", {}).startswith(b"event: progress")


@pytest.mark.parametrize(
    ("header", "number"),
    [("12", 12), ("0", 0), (None, None), ("", None), ("-1", None), ("x", None), ("9" * 19, None)],
)
def test_last_event_id_is_a_number_or_nothing(header: str | None, number: int | None) -> None:
    assert last_event_id(header) == number


def test_joined_skips_events_that_a_subscriber_has() -> None:
    assert joined([(1, b"a"), (2, b"b"), (3, b"c")], 1) == b"bc"


def test_subscriber_returns_all_queued_events_at_once() -> None:
    async def run() -> None:
        subscriber = Subscriber(job=None, owner=None)
        for text in (b"a", b"", b"b"):
            subscriber.offer(text)
        assert await subscriber.next(1.0) == b"ab"
        assert await subscriber.next(0.01) == b""
        assert not subscriber.is_over

    asyncio.run(run())


def test_subscriber_that_is_too_slow_is_ended() -> None:
    async def run() -> None:
        subscriber = Subscriber(job=None, owner=None)
        subscriber.offer(b"x" * (MAX_QUEUED_BYTES + 1))
        assert not subscriber.is_over, "the newest text may be of any size"
        subscriber.offer(b"y")
        assert subscriber.is_over
        assert await subscriber.next(1.0) == b""

    asyncio.run(run())
