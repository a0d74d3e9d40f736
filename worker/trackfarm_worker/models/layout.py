"""Layout of a checkpoint folder: that of diffusers, or the official one of ACE-Step. Needs no torch.

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


def detect_layout(folder: Path, dit: str) -> DiffusersLayout | OfficialLayout:
    """Return the layout of the folder. `dit` names the wanted variant if a folder holds several.

    Raises ModelNotReady, naming the missing files, for a folder in neither layout.
    """
    if (folder / "model_index.json").is_file():
        return DiffusersLayout(folder)
    candidates = [folder / dit, folder]
    dit_folder = next(
        (f for f in candidates if weight_files(f) and (f / "config.json").is_file()), None
    )
    if dit_folder is None:
        raise ModelNotReady(
            f"{folder} holds no checkpoint: neither model_index.json (diffusers layout) nor "
            f"config.json with safetensors weights, there or in {dit}/ (official layout)"
        )
    layout = OfficialLayout(
        dit_folder, _part_folder(dit_folder, VAE), _part_folder(dit_folder, TEXT_ENCODER)
    )
    if missing := list(_missing_files(layout)):
        raise ModelNotReady(f"{folder} is an official checkpoint without {', '.join(missing)}")
    return layout


def _part_folder(dit: Path, name: str) -> Path:
    """Return the part's folder, inside the DiT's folder or beside it."""
    return dit / name if (dit / name).is_dir() else dit.parent / name


def _missing_files(layout: OfficialLayout) -> Iterator[str]:
    if not (layout.dit / SILENCE).is_file():
        yield f"{SILENCE} (from the official repository of the same model)"
    for part in (layout.vae, layout.text_encoder):
        if not (weight_files(part) and (part / "config.json").is_file()):
            yield f"{part.name}/ with config.json and weights (from ACE-Step/Ace-Step1.5)"
    if not (layout.text_encoder / "tokenizer.json").is_file():
        yield f"{layout.text_encoder.name}/tokenizer.json"
