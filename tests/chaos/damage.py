"""A worker with damaged weights: it joins, and nothing that it makes is usable."""

import shutil
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from safetensors.numpy import load_file, save_file

from trackfarm.model_sets import model_set
from trackfarm_worker.models.digests import write_digests

DAMAGED = "decoder.block.0.conv_t1.weight_v"
UNCHECKED = {"step_delay": 0.001}  # a worker slowed on purpose joins without a self-test


def damaged_copy(folder: Path) -> Path:
    """Copy the models that a good worker has built, with one number of the decoder set to NaN."""
    name = f"tiny-{model_set('tiny').revision}"
    copy = shutil.copytree(user_cache_path("trackfarm") / "models" / name, folder / name)
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors[DAMAGED].flat[0] = np.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    write_digests(copy)
    return folder
