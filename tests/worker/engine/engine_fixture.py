"""Inside of an engine without its process: real parts around a tiny pipeline."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.audio_writer import AcceptedAudio, AudioWriter, write_audio
from trackfarm_worker.engine.child.build import build_generator, build_server
from trackfarm_worker.engine.child.device import Device
from trackfarm_worker.engine.child.generate import BatchGenerator, ProgressObserver
from trackfarm_worker.engine.child.recipe import TrackTry
from trackfarm_worker.engine.child.server import EngineServer
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.protocol import (
    EngineProgress,
    EngineStage,
    EngineTrack,
    FailedTrack,
    FinishedTrack,
    Report,
    Run,
    Setup,
    StoppedTrack,
    TrackResult,
)

TINY = model_set("tiny")


def setup(spool: Path, **options: Any) -> Setup:
    return Setup(
        model_set="tiny",
        model_path=None,
        device="cpu",
        dtype=None,
        spool=spool,
        threads=1,
        step_delay=0.0,
        options=EngineOptions(**options),
    )


class WritingGenerator:
    """Batch generator that writes its audio at once."""

    def __init__(self, inner: BatchGenerator) -> None:
        self._inner = inner

    def generate(
        self, tracks: Sequence[TrackTry], observer: ProgressObserver
    ) -> Iterator[TrackResult | TrackTry]:
        for output in self._inner.generate(tracks, observer):
            yield write_audio(output) if isinstance(output, AcceptedAudio) else output


def generator(
    pipeline: Any, spool: Path, time_account: TimeAccount | None = None
) -> WritingGenerator:
    message = setup(spool)
    device, account = Device(message, TINY, pipeline), time_account or TimeAccount()
    return WritingGenerator(
        build_generator(pipeline, TINY, message, device=device, time_account=account)
    )


class NoStopRequests:
    """Source of no stop requests."""

    def is_stopped(self, run_id: int, track_id: int) -> bool:
        return False

    def pause(self, seconds: float, run_id: int, track_ids: Collection[int]) -> None:
        raise AssertionError("no delay was asked for")

    def discard_stops(self, run_id: int) -> None:
        pass


class ServerFixture:
    """Engine server and its reports."""

    def __init__(self, pipeline: Any, spool: Path, **options: Any) -> None:
        spool.mkdir(exist_ok=True)
        self.reports: list[Report] = []
        self.writer = AudioWriter()
        self.server: EngineServer = build_server(
            setup(spool, **options),
            TINY,
            pipeline,
            NoStopRequests(),
            self.reports.append,
            self.writer,
        )
        self._runs = 0

    def run(self, tracks: Sequence[EngineTrack]) -> dict[int, TrackResult]:
        """Return one answer per track."""
        self._runs += 1
        before = len(self.reports)
        self.server.run(Run(run_id=self._runs, tracks=list(tracks)))
        self.writer.flush()
        answers = [
            r
            for r in self.reports[before:]
            if isinstance(r, FinishedTrack | FailedTrack | StoppedTrack)
        ]
        by_track = {r.track_id: r for r in answers}
        assert len(answers) == len(by_track) == len(tracks), "one answer per track"
        assert self.reports[-1].type == "run_done"
        return by_track

    def batches(self) -> list[list[int]]:
        """Return the tracks of each batch that reached denoising, in order."""
        return [
            r.track_ids
            for r in self.reports
            if isinstance(r, EngineProgress) and (r.stage, r.step) == ("denoise", 0)
        ]


class StepRecorder:
    """Observer of a batch; `stops` decides from everything reported so far whether a track must
    stop."""

    def __init__(
        self, stops: Callable[[int, list[tuple[EngineStage, int]]], bool] | None = None
    ) -> None:
        self.steps: list[tuple[EngineStage, int]] = []
        self._stops = stops

    def report_step(
        self, track_ids: Sequence[int], stage: EngineStage, step: int, steps: int
    ) -> None:
        self.steps.append((stage, step))

    def is_stopped(self, track_id: int) -> bool:
        return self._stops is not None and self._stops(track_id, self.steps)


@contextmanager
def before_forward(module: Any, hook: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Call `hook` with the keyword arguments of every forward pass."""
    handle = module.register_forward_pre_hook(lambda _m, _a, kwargs: hook(kwargs), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def noise_level_of(kwargs: dict[str, Any]) -> torch.Tensor:
    level: torch.Tensor = kwargs["timestep"]
    return level
