"""Model sets (`model_sets.toml`): models that a worker pins for life, and their abilities."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

DEMO = "demo"
DEFAULT_MODEL_SET = DEMO
"""Model set of jobs and workers for which none is named."""

# Names become parts of queue names, which are split at dots.
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]


class ModelSet(BaseModel):
    """A DiT variant with one LM variant or none, in one dtype and one revision.

    `repository` is in diffusers layout if `is_diffusers_layout`; otherwise `pull` converts it.
    Sizes are in GB (10^9 bytes), `min_vram` in nominal GB (0: any machine), `sample_rate` in
    Hz.
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
    """Repository of the VAE and the text encoder, if `repository` holds only the DiT's file."""
    parts_revision: str = "main"
    licence: str
    download_gb: float
    weights_gb: float
    lean_weights_gb: float
    """Resident weights when the text and condition encoders stay off the GPU."""
    int8_saves_gb: float = 0.0
    """GB saved by the DiT's linear layers as 8-bit integers."""
    min_vram: int
    resident_vram: int
    """Smallest nominal GB at which everything stays on the card; below, `lean_weights_gb` apply."""
    default_steps: int
    max_steps: int
    default_guidance: float
    default_shift: float
    tasks: frozenset[str]
    cfg: bool
    """False: guidance is distilled into the weights, and a guidance scale is ignored."""
    has_dcw: bool = False
    """True: tracks are corrected in the wavelet domain unless their briefs turn it off."""
    is_noise: bool
    """True: random weights; its output is noise and must be labelled as such."""
    is_built_in: bool = False
    """True: comes with trackfarm and runs on a CPU: nothing to download, no GPU needed."""
    sample_rate: int

    @property
    def identity(self) -> str:
        """Part of a track's key: other weights make another track."""
        return f"{self.name}@{self.revision}"

    @property
    def is_guided(self) -> bool:
        """True if tracks without a guidance setting are guided."""
        return self.cfg and self.default_guidance > 1

    @property
    def is_xl(self) -> bool:
        return "-xl-" in self.dit


class UnknownModelSet(LookupError):
    """This version does not have the requested model set."""


@cache
def model_sets() -> Mapping[str, ModelSet]:
    """Return all model sets by name, in the order of the table."""
    table = tomllib.loads((files("trackfarm") / "model_sets.toml").read_text())
    return {name: ModelSet(name=name, **row) for name, row in table.items()}


def model_set(name: str) -> ModelSet:
    """Return a model set. Raises UnknownModelSet with a message that lists the known names."""
    sets = model_sets()
    if name not in sets:
        raise UnknownModelSet(f"unknown model set {name!r}; known are: {', '.join(sets)}")
    return sets[name]
