"""Sound options that contradict each other or have no effect: refused, not ignored (pure)."""

from collections.abc import Iterator
from typing import Protocol

from trackfarm.catalog.errors import FieldProblem
from trackfarm.catalog.vocabulary import InferMethod, SamplerMode


class OptionFields(Protocol):
    """Options of a brief that depend on each other."""

    @property
    def infer_method(self) -> InferMethod: ...
    @property
    def sampler_mode(self) -> SamplerMode: ...
    @property
    def timesteps(self) -> tuple[float, ...]: ...
    @property
    def inference_steps(self) -> int | None: ...
    @property
    def shift(self) -> float | None: ...
    @property
    def cfg_interval_start(self) -> float: ...
    @property
    def cfg_interval_end(self) -> float: ...
    @property
    def retake_seed(self) -> int | None: ...
    @property
    def retake_variance(self) -> float: ...
    @property
    def model_fields_set(self) -> set[str]: ...


_DEPENDENT = frozenset(
    {
        "sampler_mode",
        "timesteps",
        "cfg_interval_start",
        "cfg_interval_end",
        "retake_seed",
        "retake_variance",
    }
)


def option_problems(brief: OptionFields) -> Iterator[FieldProblem]:
    """Yield the problems of options that do not go together."""
    if _DEPENDENT.isdisjoint(brief.model_fields_set):
        return
    if brief.infer_method == "sde" and brief.sampler_mode == "heun":
        wrong = "heun corrects no stochastic steps"
        yield FieldProblem("sampler_mode", wrong, "write euler, or infer_method ode")
    for name in ("inference_steps", "shift"):
        if brief.timesteps and getattr(brief, name) is not None:
            yield FieldProblem(name, "has no effect with timesteps", "remove one of the two")
    if brief.cfg_interval_start > brief.cfg_interval_end:
        wrong = "is above cfg_interval_end: there would be no guidance"
        yield FieldProblem("cfg_interval_start", wrong, "exchange the two")
    yield from _retake_problems(brief)


def _retake_problems(brief: OptionFields) -> Iterator[FieldProblem]:
    if brief.retake_variance > 0 and brief.retake_seed is None:
        wrong = "is missing, which retake_variance needs"
        yield FieldProblem("retake_seed", wrong, "give the seed of the other noise")
    if brief.retake_variance == 0 and brief.retake_seed is not None:
        wrong = "is missing or 0: retake_seed would have no effect"
        yield FieldProblem("retake_variance", wrong, "give one from 0 to 1, such as 0.2")
