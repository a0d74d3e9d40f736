"""Queue positions, waiting times and the default model."""

import pytest

from trackfarm.cost import TrackShape
from trackfarm_scheduler.api.queue_position import (
    FALLBACK,
    QueuePosition,
    default_model,
    forecast_queue,
)
from trackfarm_scheduler.db.calls import OpenCall
from trackfarm_scheduler.policy.models import WorkerPool, WorkerView

SHAPE = TrackShape(10, 8, guided=False)


def worker_view(name: str, ahead: float) -> WorkerView:
    return WorkerView(
        id=name,
        queue=name,
        tier="vram24",
        vram=24,
        model_set="tiny",
        shards=1,
        seconds_ahead=ahead,
        max_tracks=64,
        seconds=lambda shape: 4.0,
        price=0.0,
    )


def call(name: str, tracks: int, *, waits: bool = True, kind: str = "tiny") -> OpenCall:
    return OpenCall(name, waits, kind, tracks, SHAPE)


def test_queue_positions_and_times() -> None:
    pool = WorkerPool(
        [worker_view("one", 30.0), worker_view("two", 6.0)], {("cpu", "tiny"): (lambda _: 4.0, 2.0)}
    )
    waiting = [
        call("made", 1, waits=False),
        call("next", 2),
        call("nobodys", 1, kind=FALLBACK),
        call("last", 4),
    ]
    forecast = forecast_queue(waiting, pool)
    assert forecast.places == {
        "made": QueuePosition(0, 8.0),  # 6 s until a worker is free, 2 s of two workers' time
        "next": QueuePosition(1, 12.0),
        "nobodys": QueuePosition(2, None),
        "last": QueuePosition(3, 20.0),
    }
    assert forecast.seconds_behind("tiny", 2, SHAPE) == 24.0
    assert forecast.seconds_behind(FALLBACK, 1, SHAPE) is None
    assert forecast.models == ["tiny"]


@pytest.mark.parametrize(
    ("chosen", "served", "default"),
    [
        ("", [], FALLBACK),
        ("", ["tiny"], "tiny"),
        ("", ["tiny", "demo"], "demo"),
        ("", ["tiny", "demo", "acestep-v15-sft", "acestep-v15-base"], "acestep-v15-sft"),
        ("acestep-v15-base", ["tiny"], "acestep-v15-base"),
    ],
)
def test_default_model_is_chosen_by_the_operator_or_the_workers(
    chosen: str, served: list[str], default: str
) -> None:
    assert default_model(chosen, served) == default
