"""Catalog reader for plans: one pass in constant memory that keeps only the tracks' shapes."""

from trackfarm.catalog import Brief, Catalog, CatalogError, Problem
from trackfarm.model_sets import ModelSet
from trackfarm.planning.demand import ShapeCounter
from trackfarm.planning.needs import BriefProblem, check_against
from trackfarm.planning.records import ShapeCount

MAX_MISFITS = 1_000


def read_shapes(catalog: Catalog, model_set: ModelSet) -> list[ShapeCount]:
    """Return the tracks of a catalog by shape.

    Raises `CatalogError` at the first invalid row, or with the first thousand briefs that no worker
    of `model_set` could make.
    """
    counter = ShapeCounter(model_set)
    misfits: list[Problem] = []
    for row in catalog.rows():
        if not isinstance(row.outcome, Brief):
            raise CatalogError(row.outcome)
        try:
            check_against(row.outcome, model_set)
            counter.add(row.outcome)
        except BriefProblem as problem:
            misfits.append(_placed(problem, str(catalog.path), row.number))
            if len(misfits) == MAX_MISFITS:
                break
    if misfits:
        raise CatalogError(misfits)
    return counter.shapes()


def _placed(problem: BriefProblem, file: str, row: int) -> Problem:
    wrong, _, remedy = problem.message.partition("; ")
    return Problem(file, row, problem.field, wrong, remedy)
