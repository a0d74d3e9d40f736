"""Whether workers of a model set could make a brief."""

from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm.catalog import Brief, CatalogProblem
from trackfarm.model_sets import ModelSet
from trackfarm.planning.brief_notes import BriefNotes
from trackfarm.tiers import smallest_tier_for


class BriefProblem(Exception):
    """No worker of the model set could make the brief."""

    def __init__(self, field: str, wrong: str, remedy: str) -> None:
        super().__init__(field, wrong, remedy)
        self.field = field
        self.wrong = wrong
        self.remedy = remedy

    @property
    def message(self) -> str:
        return f"{self.wrong}; {self.remedy}"


@dataclass(slots=True)
class ModelSetCheck:
    """Inspector of a catalog's briefs for one model set; `file` is named by the problems."""

    model_set: ModelSet
    file: str
    notes: BriefNotes

    def inspect(self, row: int, brief: Brief) -> Sequence[CatalogProblem]:
        """Return the problem that keeps the model set from making the brief, if there is one."""
        try:
            check_for_model_set(brief, self.model_set)
        except BriefProblem as problem:
            return [CatalogProblem(self.file, row, problem.field, problem.wrong, problem.remedy)]
        self.notes.add(row, brief)
        return []


def check_for_model_set(brief: Brief, model_set: ModelSet) -> None:
    """Raise BriefProblem if no worker of `model_set` could make the brief."""
    if brief.task_type not in model_set.tasks:
        tasks = ", ".join(sorted(model_set.tasks))
        raise BriefProblem(
            "task_type",
            f"{model_set.name} cannot do {brief.task_type}, only {tasks}",
            "change the task or the model set",
        )
    for name, steps in (
        ("inference_steps", brief.inference_steps or 0),
        ("timesteps", len(brief.timesteps)),
    ):
        if steps > model_set.max_steps:
            wrong = f"{model_set.name} takes at most {model_set.max_steps} steps"
            raise BriefProblem(name, wrong, "use fewer")
    if not model_set.cfg and (option := _guidance_option(brief)):
        raise BriefProblem(option, f"{model_set.name} has no guidance to change", "remove it")
    min_vram_of(brief, model_set)


def _guidance_option(brief: Brief) -> str | None:
    """Return a field that changes guidance, if the brief has one."""
    if brief.use_adg:
        return "use_adg"
    if brief.cfg_interval_start > 0:
        return "cfg_interval_start"
    return "cfg_interval_end" if brief.cfg_interval_end < 1 else None


def min_vram_of(brief: Brief, model_set: ModelSet) -> int:
    """Return the smallest tier that can make the track, in nominal GB. Raises BriefProblem."""
    tier = smallest_tier_for(
        brief.duration, min_vram=model_set.min_vram, limited=not model_set.is_built_in
    )
    if tier is None:
        raise BriefProblem(
            "duration",
            f"no VRAM tier makes {brief.duration:g} s with {model_set.name}",
            "ask for a shorter track or another model set",
        )
    return tier.vram
