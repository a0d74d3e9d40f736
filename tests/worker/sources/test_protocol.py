"""Protocol lines between a worker and its source process."""

from pathlib import Path

import pytest

from trackfarm.net.ssrf import EgressPolicy
from trackfarm_worker.sources.protocol import (
    Answer,
    PreparedSource,
    SourceAway,
    SourceLimits,
    SourceOrder,
    SourceRefused,
    answer_line,
    order_line,
    read_answer,
    read_order,
)


@pytest.mark.parametrize(
    "answer",
    [
        PreparedSource(Path("/spool/a b.npy"), 480_000),
        SourceRefused("it has 8 channels; „mono“ and stereo are taken"),
        SourceAway("the disk is full", is_disk_full=True),
    ],
)
def test_answers_arrive_as_they_were_sent(answer: Answer) -> None:
    assert read_answer(answer_line(answer)) == answer


def test_orders_arrive_as_they_were_sent() -> None:
    order = SourceOrder(
        url="https://example.org/a?b=1",
        download=Path("/spool/in"),
        target=Path("/spool/out.npy"),
        sha256="0" * 64,
        is_signed=True,
        limits=SourceLimits(size=7),
        rules=EgressPolicy(hosts=("example.org",), ports=(), networks=("10.0.0.0/8",)),
    )
    assert read_order(order_line(order)) == order


@pytest.mark.parametrize("text", ["", "{}", "null", '{"answer": "Source", "path": "x"}'])
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an answer|Expecting value"):
        read_answer(text)


def test_seconds_follow_from_frames() -> None:
    assert PreparedSource(Path("x"), 72_000).seconds == 1.5
