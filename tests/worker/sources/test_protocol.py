"""Protocol lines between a worker and its source process."""

from pathlib import Path

import pytest

from trackfarm.net.ssrf import EgressPolicy
from trackfarm_worker.sources.protocol import (
    PreparedSource,
    SourceLimits,
    SourceOrder,
    SourceRefused,
    SourceResult,
    SourceUnavailable,
    order_line,
    read_order,
    read_result,
    result_line,
)


@pytest.mark.parametrize(
    "result",
    [
        PreparedSource(Path("/spool/a b.npy"), 480_000),
        SourceRefused("it has 8 channels; „mono“ and stereo are taken"),
        SourceUnavailable("the disk is full", is_disk_full=True),
    ],
)
def test_results_arrive_as_they_were_sent(result: SourceResult) -> None:
    assert read_result(result_line(result)) == result


def test_orders_arrive_as_they_were_sent() -> None:
    order = SourceOrder(
        url="https://example.org/a?b=1",
        download=Path("/spool/in"),
        target=Path("/spool/out.npy"),
        sha256="0" * 64,
        is_signed=True,
        limits=SourceLimits(max_bytes=7),
        policy=EgressPolicy(hosts=("example.org",), ports=(), networks=("10.0.0.0/8",)),
    )
    assert read_order(order_line(order)) == order


@pytest.mark.parametrize("text", ["", "{}", "null", '{"type": "PreparedSource", "path": "x"}'])
def test_read_result_refuses_anything_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a result|Expecting value"):
        read_result(text)


def test_seconds_follow_from_frames() -> None:
    assert PreparedSource(Path("x"), 72_000).seconds == 1.5
