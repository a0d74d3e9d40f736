"""What kind of checkpoint is in a folder: that of diffusers, or the official one of ACE-Step.

Official: a folder with `config.json`, `model.safetensors` (or shards with an index) and
`silence_latent.pt`; `vae` and `Qwen3-Embedding-0.6B` inside or beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trackfarm_worker.models.checkpoint import ModelNotReady, weight_files

VAE = "vae"
TEXT_ENCODER = "Qwen3-Embedding-0.6B"
SILENCE = "silence_latent.pt"


@dataclass(frozen=True, slots=True)
class OfficialLayout:
    """The three folders of an official checkpoint."""

    dit: Path
    vae: Path
    text_encoder: Path


@dataclass(frozen=True, slots=True)
class DiffusersLayout:
    folder: Path


def recognise(folder: Path, dit: str) -> DiffusersLayout | OfficialLayout:
    """`dit` names the wanted variant where a folder holds several.

    Raises ModelNotReady, naming what is missing, for a folder that is neither.
    """
    if (folder / "model_index.json").is_file():
        return DiffusersLayout(folder)
    inside = [folder / dit, folder]
    home = next((f for f in inside if weight_files(f) and (f / "config.json").is_file()), None)
    if home is None:
        raise ModelNotReady(
            f"{folder} holds no checkpoint: neither model_index.json (diffusers layout) nor "
            f"config.json with safetensors weights, there or in {dit}/ (official layout)"
        )
    found = OfficialLayout(home, _part(home, VAE), _part(home, TEXT_ENCODER))
    if missing := list(_missing(found)):
        raise ModelNotReady(f"{folder} is an official checkpoint without {', '.join(missing)}")
    return found


def _part(dit: Path, name: str) -> Path:
    """In the folder itself or beside it."""
    return dit / name if (dit / name).is_dir() else dit.parent / name


def _missing(found: OfficialLayout) -> Iterator[str]:
    if not (found.dit / SILENCE).is_file():
        yield f"{SILENCE} (from the official repository of the same model)"
    for part in (found.vae, found.text_encoder):
        if not (weight_files(part) and (part / "config.json").is_file()):
            yield f"{part.name}/ with config.json and weights (from ACE-Step/Ace-Step1.5)"
    if not (found.text_encoder / "tokenizer.json").is_file():
        yield f"{found.text_encoder.name}/tokenizer.json"
