"""Inside of an engine without its process: real parts around a tiny pipeline."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.audio_writer import Sound, Spool, written
from trackfarm_worker.engine.child.build import batch_maker, engine_server
from trackfarm_worker.engine.child.device import Device
from trackfarm_worker.engine.child.generate import BatchMaker, ProgressObserver
from trackfarm_worker.engine.child.recipe import EngineJob
from trackfarm_worker.engine.child.server import EngineServer
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.options import Options
from trackfarm_worker.engine.protocol import (
    EngineProgress,
    EngineTrack,
    Finished,
    Report,
    Result,
    Run,
    Setup,
    Stage,
    TrackFailedReport,
    TrackStopped,
)

TINY = model_set("tiny")


def setup(spool: Path, **options: Any) -> Setup:
    return Setup(
        model_set="tiny",
        source=None,
        device="cpu",
        dtype=None,
        spool=spool,
        threads=1,
        step_delay=0.0,
        options=Options(**options),
    )


class Maker:
    """Maker that writes its audio at once."""

    def __init__(self, inner: BatchMaker) -> None:
        self._inner = inner

    def make(
        self, jobs: Sequence[EngineJob], watch: ProgressObserver
    ) -> Iterator[Result | EngineJob]:
        for made in self._inner.make(jobs, watch):
            yield written(made) if isinstance(made, Sound) else made


def maker(pipeline: Any, spool: Path, ledger: TimeAccount | None = None) -> Maker:
    order = setup(spool)
    device = Device(order, TINY, pipeline)
    return Maker(batch_maker(pipeline, TINY, order, device=device, ledger=ledger or TimeAccount()))


class NoStops:
    """Source of no stop requests."""

    def is_stopped(self, batch_id: int, track_id: int) -> bool:
        return False

    def pause(self, seconds: float, batch_id: int, track_ids: Collection[int]) -> None:
        raise AssertionError("no delay was asked for")

    def forget(self, batch_id: int) -> None:
        pass


class Shop:
    """Server and its reports."""

    def __init__(self, pipeline: Any, spool: Path, **options: Any) -> None:
        spool.mkdir(exist_ok=True)
        self.reports: list[Report] = []
        self.spool = Spool()
        self.server: EngineServer = engine_server(
            setup(spool, **options), TINY, pipeline, NoStops(), self.reports.append, self.spool
        )
        self._runs = 0

    def run(self, tracks: Sequence[EngineTrack]) -> dict[int, Result]:
        """Return one answer per track."""
        self._runs += 1
        before = len(self.reports)
        self.server.run(Run(batch_id=self._runs, tracks=list(tracks)))
        self.spool.flush()
        answers = [
            r
            for r in self.reports[before:]
            if isinstance(r, Finished | TrackFailedReport | TrackStopped)
        ]
        by_track = {r.track_id: r for r in answers}
        assert len(answers) == len(by_track) == len(tracks), "one answer per track"
        assert self.reports[-1].type == "batch_done"
        return by_track

    def batches(self) -> list[list[int]]:
        """Return the tracks of each batch that reached denoising, in order."""
        return [
            r.track_ids
            for r in self.reports
            if isinstance(r, EngineProgress) and (r.stage, r.step) == ("denoise", 0)
        ]


class Follower:
    """Watcher of a batch; `stops` decides from everything reported so far whether a track must
    stop."""

    def __init__(self, stops: Callable[[int, list[tuple[Stage, int]]], bool] | None = None) -> None:
        self.told: list[tuple[Stage, int]] = []
        self._stops = stops

    def tell(self, track_ids: Sequence[int], stage: Stage, step: int, steps: int) -> None:
        self.told.append((stage, step))

    def is_stopped(self, track_id: int) -> bool:
        return self._stops is not None and self._stops(track_id, self.told)


@contextmanager
def before_forward(module: Any, hook: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Call `hook` with the keyword arguments of every forward pass."""
    handle = module.register_forward_pre_hook(lambda _m, _a, kwargs: hook(kwargs), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def level_of(kwargs: dict[str, Any]) -> torch.Tensor:
    level: torch.Tensor = kwargs["timestep"]
    return level
