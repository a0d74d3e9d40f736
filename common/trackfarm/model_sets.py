"""Model sets: what a worker pins for life, and what each can do (`model_sets.toml`)."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# Names become parts of queue names, which are split at dots.
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]


class ModelSet(BaseModel):
    """A DiT variant with a LM variant or none, in one dtype and one revision.

    `repository` is in diffusers layout when `is_diffusers_layout`; otherwise it is converted when
    it is pulled. Sizes are in GB (10^9 bytes), `min_vram` in nominal GB (0: runs on the CPU),
    `sample_rate` in Hz.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    dit: str
    lm: str
    dtype: str
    repository: str
    revision: str
    is_diffusers_layout: bool
    parts_repository: str = ""
    """Where the VAE and the text encoder come from when `repository` holds only the DiT's file."""
    parts_revision: str = "main"
    licence: str
    download_gb: float
    weights_gb: float
    lean_weights_gb: float
    """Resident weights when the text and condition encoders stay off the GPU."""
    int8_saves_gb: float = 0.0
    """What the DiT's linear layers take less as 8-bit integers."""
    min_vram: int
    resident_vram: int
    """The least nominal GB at which everything stays on the card; below, `lean_weights_gb` do."""
    default_steps: int
    max_steps: int
    default_guidance: float
    default_shift: float
    tasks: frozenset[str]
    cfg: bool
    """False: guidance is distilled into the weights and a guidance scale is ignored."""
    is_noise: bool
    """True: random weights; what it makes is noise and must be labelled so."""
    sample_rate: int

    @property
    def identity(self) -> str:
        """What a track key names: other weights make another track."""
        return f"{self.name}@{self.revision}"

    @property
    def is_guided(self) -> bool:
        """Whether a track is guided that says nothing about guidance."""
        return self.cfg and self.default_guidance > 1

    @property
    def is_xl(self) -> bool:
        return "-xl-" in self.dit


class UnknownModelSet(LookupError):
    """Asked for a model set that this version does not know."""


@cache
def model_sets() -> Mapping[str, ModelSet]:
    """All model sets by name, in the order of the table."""
    table = tomllib.loads((files("trackfarm") / "model_sets.toml").read_text())
    return {name: ModelSet(name=name, **row) for name, row in table.items()}


def model_set(name: str) -> ModelSet:
    """Raises UnknownModelSet, whose message lists the known names."""
    known = model_sets()
    if name not in known:
        raise UnknownModelSet(f"unknown model set {name!r}; known are: {', '.join(known)}")
    return known[name]
