"""Invented jobs, workers and tracks as inputs of placement and speculative copies."""

from collections.abc import Sequence

from hypothesis import strategies as st

from trackfarm.cost import TrackShape
from trackfarm_scheduler.policy.models import JobPriority, JobView, Lane, WaitingTrack, WorkerView

TIERS = [4, 8, 24, 80]
SETS = ["tiny", "turbo"]


class Seconds:
    """Cost function: `rate` seconds per second of audio."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, shape: TrackShape) -> float:
        return self.rate * shape.duration


def shape(duration: float = 10) -> TrackShape:
    return TrackShape(duration, 8, False)


def tracks(first: int, number: int, *, duration: float = 10, vram: int = 4) -> list[WaitingTrack]:
    return [WaitingTrack(first + i, shape(duration), vram) for i in range(number)]


def job_priority(
    *,
    lane: Lane = Lane.BATCH,
    level: int = 0,
    age: float = 0,
    in_flight_seconds: float = 0,
    seconds_left: float = 0,
    deadline: float | None = None,
) -> JobPriority:
    """Return the priority facts of a job submitted and last fed `age` seconds before time 0."""
    return JobPriority(lane, level, -age, -age, in_flight_seconds, seconds_left, deadline)


def job(
    name: str,
    waiting: Sequence[WaitingTrack],
    *,
    about: JobPriority | None = None,
    beyond: int = 0,
    money: float | None = None,
) -> JobView:
    """Return a job view; `beyond`: number of waiting tracks outside the loaded window."""
    return JobView(name, "tiny", about or job_priority(), waiting, len(waiting) + beyond, money)


def worker(
    name: str,
    *,
    vram: int = 24,
    kind: str = "tiny",
    shards: int = 0,
    ahead: float = 0,
    rate: float = 0.1,
    price: float = 0,
) -> WorkerView:
    queue, tier = f"q.{name}", f"vram{vram}"
    return WorkerView(name, queue, tier, vram, kind, shards, ahead, 64, Seconds(rate), price)


WORKERS = [f"w{i}" for i in range(6)]
avoided = st.frozensets(st.sampled_from(WORKERS), max_size=6)


@st.composite
def some_tracks(draw: st.DrawFn, first: int) -> list[WaitingTrack]:
    return [
        WaitingTrack(
            first + i,
            shape(draw(st.sampled_from([10.0, 60.0, 600.0]))),
            draw(st.sampled_from(TIERS)),
            is_alone=draw(st.sampled_from([False, False, False, True])),
            avoid=draw(st.just(frozenset[str]()) | avoided),
            previously_leased=draw(st.booleans()),
        )
        for i in range(draw(st.integers(0, 30)))
    ]


@st.composite
def some_jobs(draw: st.DrawFn) -> list[JobView]:
    views: list[JobView] = []
    for number in range(draw(st.integers(0, 4))):
        waiting = draw(some_tracks(1 + 100 * number))
        about = job_priority(
            lane=draw(st.sampled_from(Lane)),
            level=draw(st.integers(-20, 20)),
            # Distinct ages, the tie-breaker between otherwise equal jobs.
            age=draw(st.integers(0, 7200)) + number / 8,
            in_flight_seconds=draw(st.floats(0, 500)),
            deadline=draw(st.none() | st.floats(-100, 10_000)),
        )
        views.append(
            JobView(
                f"job_{number}",
                draw(st.sampled_from(SETS)),
                about,
                waiting,
                len(waiting) + draw(st.sampled_from([0, 0, 1_000])),
                draw(st.none() | st.floats(-0.1, 0.5)),
            )
        )
    return views


@st.composite
def some_workers(draw: st.DrawFn) -> list[WorkerView]:
    return [
        worker(
            name,
            vram=draw(st.sampled_from(TIERS)),
            kind=draw(st.sampled_from(SETS)),
            shards=draw(st.integers(0, 3)),
            # Distinct values, so that no two workers are equal.
            ahead=draw(st.integers(0, 100)) + number / 8,
            rate=draw(st.sampled_from([0.001, 0.1, 2.0])),
            price=draw(st.sampled_from([0.0, 0.5, 3.0])),
        )
        for number, name in enumerate(WORKERS[: draw(st.integers(0, 6))])
    ]
