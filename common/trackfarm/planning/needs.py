"""Requirements of a brief on the worker that makes it."""

from trackfarm.catalog import Brief
from trackfarm.model_sets import ModelSet
from trackfarm.tiers import smallest_tier_for


class BriefProblem(Exception):
    """No worker of the model set could make the brief."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message


def effort_of(brief: Brief, model_set: ModelSet) -> tuple[int, bool]:
    """Return the denoising steps, and whether each needs a second pass for guidance."""
    guidance = brief.guidance_scale or model_set.default_guidance
    return brief.inference_steps or model_set.default_steps, model_set.cfg and guidance > 1


def min_vram_of(brief: Brief, model_set: ModelSet) -> int:
    """Return the smallest tier that can make the track, in nominal GB. Raises BriefProblem."""
    tier = smallest_tier_for(
        brief.duration, min_vram=model_set.min_vram, limited=not model_set.is_noise
    )
    if tier is None:
        limit = f"no VRAM tier makes {brief.duration:g} s with {model_set.name}"
        raise BriefProblem("duration", f"{limit}; ask for a shorter track or another model set")
    return tier.vram


def check_against(brief: Brief, model_set: ModelSet) -> None:
    """Raise BriefProblem if no worker of `model_set` could make the brief."""
    if brief.task_type not in model_set.tasks:
        tasks = ", ".join(sorted(model_set.tasks))
        raise BriefProblem("task_type", f"{model_set.name} supports only {tasks}; change the task")
    if (brief.inference_steps or 0) > model_set.max_steps:
        raise BriefProblem(
            "inference_steps",
            f"{model_set.name} takes at most {model_set.max_steps} steps; use fewer",
        )
    min_vram_of(brief, model_set)
