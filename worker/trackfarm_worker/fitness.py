"""Is this machine fit to join? It makes one short batch twice, before it takes anybody's track."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.messages import EngineTrack, Failed, Finished, Result
from trackfarm_worker.engine.process import EngineProcess

# A fifth of the speed of its kind: not a slow card, but a broken, throttled or shared one.
LEAST_SPEED = 0.2
# Relative L2 between two runs of one batch. GPU kernels may add up in another order.
TOLERANCE = 0.02
# A moment of other work on the machine is no defect: the best of so many timed runs counts.
RUNS = 3
# On a GPU a batch must be long enough not to measure kernel launches.
GPU_DURATION, CPU_DURATION = 60.0, 1.0
GPU_STEPS, CPU_STEPS = 8, 1
TRACKS = 2


class Unfit(RuntimeError):
    """This machine must not join. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """`speed` is relative to the prior for this kind of GPU, 0 where there is none; `difference`
    the relative L2 between the two runs."""

    seconds: float
    speed: float
    difference: float


def examine(
    engine: EngineProcess,
    model_set: ModelSet,
    *,
    gpu: str,
    is_gpu: bool,
    least_speed: float = LEAST_SPEED,
    tolerance: float = TOLERANCE,
) -> Fitness:
    """Raises Unfit, or EngineStartFailed when the engine is lost for good."""
    tracks = _tracks(model_set, is_gpu=is_gpu)
    first, _ = _made(engine, tracks)
    seconds, difference = np.inf, 0.0
    for _ in range(RUNS):
        again, took = _made(engine, tracks)
        difference = max(difference, _difference(first, again))
        seconds = min(seconds, max(took, 1e-9))
        speed = _speed(tracks, seconds, gpu, model_set)
        if speed is None or speed >= least_speed or difference > tolerance:
            break
    if difference > tolerance:
        raise Unfit(
            f"one batch made twice with the same seeds differs by {difference:.1%}: this machine "
            "computes wrongly (memory or overclocking). Give it back, or take it out."
        )
    if speed is not None and speed < least_speed:
        raise Unfit(
            f"a short batch took {seconds:.2f} s, {speed:.0%} of the speed that this kind of GPU "
            "should have: it is throttled, or something else runs on it. Free it, or set "
            "TRACKFARM_WORKER_LEAST_SPEED (0 joins whatever the speed)."
        )
    return Fitness(seconds, speed or 0.0, difference)


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


def _made(
    engine: EngineProcess, tracks: Sequence[EngineTrack]
) -> tuple[list[NDArray[np.float32]], float]:
    """The audio of each track, and the engine's seconds for all of them."""
    results = engine.run(tracks)
    sounds, seconds = [], 0.0
    for result in results:
        sounds.append(_sound(result))
        seconds += result.timings.service if isinstance(result, Finished) else 0.0
    return sounds, seconds


def _sound(result: Result) -> NDArray[np.float32]:
    if not isinstance(result, Finished):
        why = result.message if isinstance(result, Failed) else "stopped"
        raise Unfit(f"a short batch could not be made: {why}")
    try:
        return np.asarray(np.load(result.path, allow_pickle=False), dtype=np.float32)
    finally:
        result.path.unlink(missing_ok=True)


def _difference(
    first: Sequence[NDArray[np.float32]], again: Sequence[NDArray[np.float32]]
) -> float:
    return max(
        float(np.linalg.norm(a - b) / max(float(np.linalg.norm(a)), 1e-9))
        for a, b in zip(first, again, strict=True)
    )


def _speed(
    tracks: Sequence[EngineTrack], seconds: float, gpu: str, model_set: ModelSet
) -> float | None:
    """None where nothing is known of this kind of machine."""
    if not cost.has_prior(gpu, model_set):
        return None
    shapes = [TrackShape(t.duration, t.steps or 1, model_set.is_guided) for t in tracks]
    return sum(cost.seconds(s, gpu=gpu, model_set=model_set) for s in shapes) / seconds
