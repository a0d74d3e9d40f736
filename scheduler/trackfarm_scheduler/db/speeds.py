"""Learned speed models by GPU kind and model set, kept across restarts."""

from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import Insert, bindparam, select
from sqlmodel import Session

from trackfarm.calibration import calibrated_speed, calibration_points, seed_model
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet, model_set
from trackfarm.protocol.worker import TrackDone
from trackfarm.speed_model import SpeedModel
from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import TrackRow, WorkerRow, table_of
from trackfarm_scheduler.db.tables_history import SpeedRow

_SPEED = table_of(SpeedRow)
_STATS = select(_SPEED.c.stats).where(
    _SPEED.c.gpu == bindparam("kind"), _SPEED.c.model_set == bindparam("name")
)
MAX_TRACK_SECONDS = 6 * 3600.0  # a longer time is no track but a machine asleep


def load_model(session: Session, gpu: str, kind: ModelSet) -> SpeedModel:
    """Return the learned model, or the prior if nothing has been learned."""
    stats = session.scalar(_STATS, {"kind": gpu, "name": kind.name})
    if stats is None:
        return SpeedModel(gpu, kind)
    try:
        return SpeedModel.from_json(stats)
    except ValueError:  # written by another version: use the prior
        return SpeedModel(gpu, kind)


def learn(
    session: Session, worker: WorkerRow, results: Sequence[TrackDone], made: Mapping[int, TrackRow]
) -> tuple[float, float]:
    """Update the model of the worker's kind with the service seconds of committed tracks; return
    the seconds that were expected of the kind, and the seconds that this worker took."""
    model = load_model(session, worker.gpu, model_set(worker.model_set))
    expected = took = 0.0
    for done in results:
        shape = shape_of(made[done.track_id])
        service = done.timings.service
        if 0 < service < MAX_TRACK_SECONDS:
            expected += model.predict(shape).mean
            took += service
            model = model.observe(shape, service)
    if took:
        _keep(session, model)
    return expected, took


def calibrate(
    session: Session, gpu: str, kind: ModelSet, calibration: Mapping[str, float]
) -> float:
    """Initialise the model of a kind without reports from the calibration of its first worker.
    Return this worker's speed relative to its kind, by its calibration."""
    points = calibration_points(calibration, gpu=gpu, model_set=kind)
    before = load_model(session, gpu, kind)
    model = seed_model(before, points)
    if model is not before:
        _keep(session, model)
    return calibrated_speed(model, points)


def _keep(session: Session, model: SpeedModel) -> None:
    """Insert or update the model: two workers of a kind may report its first tracks at once."""
    row = {"gpu": model.gpu, "model_set": model.kind.name, "stats": model.to_json()}
    session.execute(_keeping(dialect_of(session)), row)


@cache
def _keeping(dialect: str) -> Insert:
    statement = insert_into(_SPEED, dialect)
    return statement.on_conflict_do_update(
        index_elements=["gpu", "model_set"], set_={"stats": statement.excluded.stats}
    )


def shape_of(track: TrackRow) -> TrackShape:
    return TrackShape(track.duration, track.steps, track.guided)
