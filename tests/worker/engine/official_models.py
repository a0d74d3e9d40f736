"""Small models in the official layout, with the weights that ACE-Step's own code had when it made the
latents in `golden/`."""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from tests.worker.models.official_checkpoint import LAYERS
from tests.worker.models.official_inventory import inventory
from trackfarm_parity.small_models import CONFIGS, SILENCE, weight
from trackfarm_worker.models.acestep_checkpoint import component_configs
from trackfarm_worker.models.conversion import meta_modules

GOLDEN = Path(__file__).parent / "golden"


def write_official_model(name: str, work: Path) -> None:
    """Write `work/<name>`; the VAE and the text encoder are beside it."""
    folder = work / name
    folder.mkdir()
    modules = meta_modules(component_configs(CONFIGS[name]))
    shapes = {part: module.state_dict() for part, module in modules.items()}
    tensors = {
        official: torch.from_numpy(weight(official, tuple(shapes[part][key].shape)))
        for official, (part, key) in inventory(**LAYERS).items()
    }
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]))
    save_file(tensors, folder / "model.safetensors")
    torch.save(torch.from_numpy(weight(*SILENCE)), folder / "silence_latent.pt")


def golden_latents(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the latents that ACE-Step made with this model, by case."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {case: file[case] for case in file.files}
