"""Tags in a finished file, whatever its format."""

import textwrap
from dataclasses import dataclass

from trackfarm.catalog import Brief
from trackfarm.model_sets import model_sets

TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Origin:
    """Provenance of a track; `model_set` is its name, empty if the scheduler did not send it."""

    job_id: str
    model_set: str


def labels(brief: Brief, seed: int, origin: Origin) -> dict[str, str]:
    """Return the tags of a track: its brief and job, how to make it again, and its licence."""
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
    """Return the first words of a prompt, for a title."""
    title = textwrap.shorten(prompt, TITLE_LENGTH, placeholder="…")
    return title if title != "…" else prompt[:TITLE_LENGTH]


def notice(model_set: str) -> str:
    """Return a note about the licence; not legal advice."""
    row = model_sets().get(model_set)
    if row is not None and row.is_noise:
        return "Noise of random weights, made by trackfarm to try it out"
    licence = f" ({row.licence})" if row is not None else ""
    return (
        f"Made with ACE-Step 1.5{licence} by trackfarm;"
        " rules for AI-generated music differ by place and platform"
    )
