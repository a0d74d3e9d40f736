"""What the farm has learnt of each kind of GPU with each model set, kept from run to run."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.speed import SpeedModel
from trackfarm.wire import TrackDone
from trackfarm_scheduler.store.tables import Speed, Track, Worker

LONGEST_GAP = 6 * 3600.0  # what takes longer was no track but a machine asleep


def model_of(session: Session, gpu: str, kind: ModelSet) -> SpeedModel:
    """The learnt model, or the prior for what was never seen."""
    row = session.scalar(
        select(Speed).where(col(Speed.gpu) == gpu, col(Speed.model_set) == kind.name)
    )
    if row is None:
        return SpeedModel(gpu, kind)
    try:
        return SpeedModel.from_json(row.stats)
    except ValueError:  # written by another version: the prior is better than nothing
        return SpeedModel(gpu, kind)


def learn(
    session: Session, worker: Worker, good: Sequence[TrackDone], made: Mapping[int, Track]
) -> tuple[float, float]:
    """Feeds the service seconds of committed tracks to the model of the worker's kind; returns
    what that kind was expected to take and what this worker took."""
    model = model_of(session, worker.gpu, model_set(worker.model_set))
    expected = took = 0.0
    for done in good:
        shape = shape_of(made[done.track_id])
        service = done.timings.service
        if 0 < service < LONGEST_GAP:
            expected += model.predict(shape).mean
            took += service
            model = model.observe(shape, service)
    if took:
        row = Speed(gpu=worker.gpu, model_set=worker.model_set, stats=model.to_json())
        session.merge(row)
    return expected, took


def shape_of(track: Track) -> TrackShape:
    return TrackShape(track.duration, track.steps, track.guided)
