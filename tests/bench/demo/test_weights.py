import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trackfarm_demo.clock import clock
from trackfarm_demo.structured_start import start_networks
from trackfarm_demo.weights import PACKAGE_FOLDER, write_networks
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


def test_written_networks_are_built_again_as_float16_holds_them(tmp_path: Path) -> None:
    networks = start_networks(seed=4)
    write_networks(networks, tmp_path)
    shutil.copy(PACKAGE_FOLDER / demo.VAE_WEIGHTS, tmp_path)
    pipeline = demo.build(tmp_path)
    for name in demo.TRAINED:
        built = getattr(pipeline, name).state_dict()
        for key, tensor in networks[name].state_dict().items():
            assert torch.equal(built[key], tensor.half().float()), f"{name}.{key}"


def test_committed_files_hold_the_vocabulary_and_the_clock_of_this_code(tmp_path: Path) -> None:
    """Words or a clock that changed after the training would be read wrongly without a word."""
    write_networks(start_networks(seed=4), tmp_path)
    committed = (PACKAGE_FOLDER / demo.TOKENIZER).read_text()
    assert (tmp_path / demo.TOKENIZER).read_text() == committed
    silence = demo.build().condition_encoder.silence_latent[0].detach().numpy()
    assert np.abs(silence - clock(0, demo.CLOCK_FRAMES)).max() < 1e-3
