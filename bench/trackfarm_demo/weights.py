"""Files of the demo model: written by the training, read by `trackfarm_worker.models.demo`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from trackfarm_demo.vae_decoder import build_decoder
from trackfarm_demo.vae_encoder import build_encoder
from trackfarm_demo.vocabulary import build_tokenizer, vocabulary
from trackfarm_worker.models import demo

VAE_SEED, ENCODER_SEED = 3, 5
ENCODER_SECONDS = 480  # of composed audio, for the regression of the encoder's last layer
PACKAGE_FOLDER = Path(demo.__file__).parent


def write_networks(networks: dict[str, nn.Module], folder: Path) -> None:
    """Write the trained networks as float16, and the tokenizer."""
    tensors = {
        f"{name}.{key}": tensor.detach().half().contiguous()
        for name in demo.TRAINED
        for key, tensor in networks[name].state_dict().items()
    }
    save_file(tensors, folder / demo.WEIGHTS)
    build_tokenizer(vocabulary()).save(str(folder / demo.TOKENIZER), pretty=False)


def write_vae(folder: Path) -> float:
    """Build the VAE and write it as float32; return the fit of its encoder, 1 at best."""
    vae: Any = demo.empty_vae().eval()
    with torch.no_grad():
        build_decoder(vae, np.random.default_rng(VAE_SEED))
        fit = build_encoder(vae, ENCODER_SECONDS, ENCODER_SEED)
    arrays = {name: tensor.numpy() for name, tensor in vae.state_dict().items()}
    np.savez_compressed(folder / demo.VAE_WEIGHTS, **arrays)
    return fit
