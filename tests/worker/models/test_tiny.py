import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from trackfarm_worker.models import tiny
from trackfarm_worker.models.checkpoint import COMPONENTS
from trackfarm_worker.models.digests import component_digests

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


def test_build_makes_the_same_weights_everywhere() -> None:
    pipeline = tiny.build()
    digest = hashlib.sha256()
    for name in sorted(set(COMPONENTS) - {"tokenizer", "scheduler"}):
        for key, tensor in sorted(getattr(pipeline, name).state_dict().items()):
            digest.update(f"{name}.{key} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    assert digest.hexdigest() == "e7a5326e6cf7f77f97c7183653270deae5cc03d33e92ad48b680f030726fff2b"


def test_build_keeps_the_global_random_state() -> None:
    before = torch.random.get_rng_state()
    tiny.build()
    assert torch.equal(before, torch.random.get_rng_state())


def test_tokenizer_pads_on_the_right_and_knows_every_byte() -> None:
    tokenizer = tiny.build().tokenizer
    batch = tokenizer(["ab", "ä \n<|endoftext|>"], padding="longest", return_tensors="pt")
    assert batch.attention_mask.tolist()[0] == [1, 1, 0, 0, 0]
    assert tokenizer.decode(batch.input_ids[1]) == "ä \n<|endoftext|>"


def test_ensure_rebuilds_only_a_damaged_folder(tmp_path: Path) -> None:
    folder = tiny.ensure(tmp_path)
    digests, built_at = component_digests(folder), folder.stat().st_mtime_ns
    assert set(digests) == set(COMPONENTS)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1.7e6
    assert tiny.ensure(tmp_path).stat().st_mtime_ns == built_at
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert component_digests(tiny.ensure(tmp_path)) == digests
    shutil.rmtree(folder / "vae")
    assert component_digests(tiny.ensure(tmp_path)) == digests
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_ensure_may_run_several_times_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(lambda _: tiny.ensure(tmp_path), range(3)))
    assert len(set(folders)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [folders[0].name]
