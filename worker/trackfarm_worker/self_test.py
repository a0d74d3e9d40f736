"""Self-test of a machine before it registers: make one short batch repeatedly, check speed and
repeatability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.protocol import EngineTrack, FailedTrack, FinishedTrack, TrackResult

# Below a fifth of the usual speed a GPU is not slow, but broken, throttled or shared.
LEAST_SPEED = 0.2
# Relative L2 between two runs of one batch. GPU kernels may sum in another order.
TOLERANCE = 0.02
# Brief other load on the machine is no defect: the best of this many timed runs counts.
RUNS = 3
# On a GPU a batch must be long enough not to measure kernel launches.
GPU_DURATION, CPU_DURATION = 60.0, 1.0
GPU_STEPS, CPU_STEPS = 8, 1
TRACKS = 2


class SelfTestFailed(RuntimeError):
    """This machine must not join. The message says why and how to fix it."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Result of the self-test: `seconds` of the fastest run; `speed` relative to the prior for this GPU
    type, 0 without a prior; `difference` is the largest relative L2 between the first run and a
    repetition."""

    seconds: float
    speed: float
    difference: float


def run_self_test(
    engine: EngineClient,
    model_set: ModelSet,
    *,
    gpu: str,
    is_gpu: bool,
    least_speed: float = LEAST_SPEED,
    tolerance: float = TOLERANCE,
) -> SelfTest:
    """Run the self-test. Raises SelfTestFailed, or EngineStartFailed when the engine cannot be
    restarted."""
    tracks = _tracks(model_set, is_gpu=is_gpu)
    first, _ = _run_batch(engine, tracks)
    seconds, difference = np.inf, 0.0
    for _ in range(RUNS):
        repeated, run_seconds = _run_batch(engine, tracks)
        difference = max(difference, _difference(first, repeated))
        seconds = min(seconds, max(run_seconds, 1e-9))
        speed = _speed(tracks, seconds, gpu, model_set)
        if speed is None or speed >= least_speed or difference > tolerance:
            break
    if difference > tolerance:
        raise SelfTestFailed(
            f"one batch made twice with the same seeds differs by {difference:.1%}: this machine "
            "computes wrongly (memory or overclocking). Release it or take it out of service."
        )
    if speed is not None and speed < least_speed:
        raise SelfTestFailed(
            f"a short batch took {seconds:.2f} s, {speed:.0%} of the speed that this kind of GPU "
            "should have: it is throttled, or another process uses it. Stop that process, or set "
            "TRACKFARM_WORKER_LEAST_SPEED (0 accepts any speed)."
        )
    return SelfTest(seconds, speed or 0.0, difference)


def _tracks(model_set: ModelSet, *, is_gpu: bool) -> list[EngineTrack]:
    steps = min(GPU_STEPS if is_gpu else CPU_STEPS, model_set.default_steps)
    duration = GPU_DURATION if is_gpu else CPU_DURATION
    return [
        EngineTrack(
            track_id=number,
            prompt=prompt,
            duration=duration,
            seed=number,
            steps=steps,
        )
        for number, prompt in zip(range(1, TRACKS + 1), ("rain", "a long walk home"), strict=True)
    ]


def _run_batch(
    engine: EngineClient, tracks: Sequence[EngineTrack]
) -> tuple[list[NDArray[np.float32]], float]:
    """Return the audio of each track, and the engine seconds for all of them."""
    results = engine.run(tracks)
    audio, seconds = [], 0.0
    for result in results:
        audio.append(_load_audio(result))
        seconds += result.timings.service if isinstance(result, FinishedTrack) else 0.0
    return audio, seconds


def _load_audio(result: TrackResult) -> NDArray[np.float32]:
    if not isinstance(result, FinishedTrack):
        reason = result.message if isinstance(result, FailedTrack) else "stopped"
        raise SelfTestFailed(f"a short batch could not be made: {reason}")
    try:
        return np.asarray(np.load(result.path, allow_pickle=False), dtype=np.float32)
    finally:
        result.path.unlink(missing_ok=True)


def _difference(
    first: Sequence[NDArray[np.float32]], repeated: Sequence[NDArray[np.float32]]
) -> float:
    return max(
        float(np.linalg.norm(a - b) / max(float(np.linalg.norm(a)), 1e-9))
        for a, b in zip(first, repeated, strict=True)
    )


def _speed(
    tracks: Sequence[EngineTrack], seconds: float, gpu: str, model_set: ModelSet
) -> float | None:
    """Return the speed relative to the prior, None if there is no prior for this GPU."""
    if not cost.has_prior(gpu, model_set):
        return None
    shapes = [TrackShape(t.duration, t.steps or 1, model_set.is_guided) for t in tracks]
    return sum(cost.seconds(s, gpu=gpu, model_set=model_set) for s in shapes) / seconds
