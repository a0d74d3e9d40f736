"""Sample parameters to fill a form with (`samples.toml`)."""

import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


class Sample(BaseModel):
    """Parameters of a sample song; `duration` in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    caption: str
    lyrics: str
    bpm: int
    key_scale: str
    time_signature: str
    duration: float
    vocal_language: str


@cache
def samples() -> Sequence[Sample]:
    """Return all samples in the order of the file."""
    table = tomllib.loads(
        (files("trackfarm_scheduler.acestep_api") / "samples.toml").read_text("utf-8")
    )
    return [Sample.model_validate(row) for row in table["sample"]]


def choose_sample(choose: Callable[[Sequence[Sample]], Sample]) -> Sample:
    """Return the sample that `choose` selects."""
    return choose(samples())
