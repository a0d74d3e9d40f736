"""What a finished file says about itself, whatever its format."""

import textwrap
from dataclasses import dataclass

from trackfarm.catalog import Brief
from trackfarm.model_sets import model_sets

TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a track comes from; `model_set` is its name, empty where the scheduler did not say."""

    job_id: str
    model_set: str


def labels(brief: Brief, seed: int, origin: Origin) -> dict[str, str]:
    """Tags of a track: who asked for what, how to make it again, and under which licence."""
    tags = {
        "title": brief.title or brief.name or short(brief.prompt),
        "comment": brief.prompt,
        "copyright": notice(origin.model_set),
        "seed": str(seed),
        "model_set": origin.model_set,
        "job": origin.job_id,
    }
    return {name: text for name, text in tags.items() if text}


def short(prompt: str) -> str:
    """The first words of a prompt, for a title."""
    words = textwrap.shorten(prompt, TITLE_LENGTH, placeholder="…")
    return words if words != "…" else prompt[:TITLE_LENGTH]


def notice(model_set: str) -> str:
    """A note about the licence; no legal advice."""
    known = model_sets().get(model_set)
    if known is not None and known.is_noise:
        return "Noise of random weights, made by trackfarm to try it out"
    licence = f" ({known.licence})" if known is not None else ""
    return (
        f"Made with ACE-Step 1.5{licence} by trackfarm;"
        " rules for AI-generated music differ by place and platform"
    )
