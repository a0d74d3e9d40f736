"""Makes the batches of a calibration on an engine and writes down what they took."""

from collections.abc import Callable, Sequence

from trackfarm_worker.calibration.plan import Trial, tracks_of
from trackfarm_worker.calibration.record import Point
from trackfarm_worker.engine.messages import Failed, Finished
from trackfarm_worker.engine.process import EngineProcess

OnTrial = Callable[[Trial, Point | str], None]


def measure(
    engine: EngineProcess, plan: Sequence[Trial], on_trial: OnTrial = lambda *_: None
) -> list[Point | str]:
    """A point, or why there is none, for each trial. `on_trial` hears of each at once.

    One trial goes before, unmeasured: the first batch of a process pays for much that no other
    does. Raises EngineStartFailed when the engine is lost for good.
    """
    _measured(engine, min(plan, key=lambda trial: trial.duration * trial.tracks))
    found = []
    for trial in plan:
        found.append(_measured(engine, trial))
        on_trial(trial, found[-1])
    return found


def _measured(engine: EngineProcess, trial: Trial) -> Point | str:
    results = engine.run(tracks_of(trial))
    finished = [result for result in results if isinstance(result, Finished)]
    for result in finished:
        result.path.unlink(missing_ok=True)
    failed = [result for result in results if isinstance(result, Failed)]
    if failed or len(finished) < trial.tracks:
        why = failed[0].message.splitlines()[0] if failed else "stopped"
        return f"{len(results) - len(finished)} of {trial.tracks} tracks of {trial.duration:g} s failed: {why}"
    count = len(finished)
    return Point(
        duration=trial.duration,
        steps=trial.steps,
        tracks=trial.tracks,
        batch=max(result.batch_size for result in finished),
        condition=sum(result.timings.condition for result in finished) / count,
        denoise=sum(result.timings.denoise for result in finished) / count,
        decode=sum(result.timings.decode for result in finished) / count,
        service=sum(result.timings.service for result in finished) / count,
    )
