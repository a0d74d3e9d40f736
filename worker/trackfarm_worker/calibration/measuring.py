"""Run the batches of a calibration on an engine and record their timings."""

from collections.abc import Callable, Sequence

from trackfarm_worker.calibration.plan import Trial, tracks_of
from trackfarm_worker.calibration.record import Point
from trackfarm_worker.engine.messages import Failed, Finished
from trackfarm_worker.engine.process import EngineProcess

OnTrial = Callable[[Trial, Point | str], None]


def measure(
    engine: EngineProcess, plan: Sequence[Trial], on_trial: OnTrial = lambda *_: None
) -> list[Point | str]:
    """Return a point for each trial, or the reason why there is none. `on_trial` is called after
    each trial.

    One unmeasured trial runs first: the first batch of a process pays for one-time initialisation.
    Raises EngineStartFailed when the engine cannot be restarted.
    """
    _run_trial(engine, min(plan, key=lambda trial: trial.duration * trial.tracks))
    points = []
    for trial in plan:
        points.append(_run_trial(engine, trial))
        on_trial(trial, points[-1])
    return points


def _run_trial(engine: EngineProcess, trial: Trial) -> Point | str:
    results = engine.run(tracks_of(trial))
    finished = [result for result in results if isinstance(result, Finished)]
    for result in finished:
        result.path.unlink(missing_ok=True)
    failed = [result for result in results if isinstance(result, Failed)]
    if failed or len(finished) < trial.tracks:
        reason = failed[0].message.splitlines()[0] if failed else "stopped"
        count = len(results) - len(finished)
        return f"{count} of {trial.tracks} tracks of {trial.duration:g} s failed: {reason}"
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
