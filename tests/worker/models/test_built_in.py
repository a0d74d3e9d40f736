import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trackfarm.model_sets import model_set, model_sets
from trackfarm_worker.models import built_in
from trackfarm_worker.models.checkpoint import COMPONENTS
from trackfarm_worker.models.digests import component_digests

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
TINY = model_set("tiny")


def test_every_built_in_model_set_has_a_builder() -> None:
    assert [row.name for row in model_sets().values() if row.is_built_in] == list(built_in.BUILDERS)


def test_ensure_rebuilds_only_a_damaged_folder(tmp_path: Path) -> None:
    folder = built_in.ensure(TINY, tmp_path)
    digests, built_at = component_digests(folder), folder.stat().st_mtime_ns
    assert set(digests) == set(COMPONENTS)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1.7e6
    assert built_in.ensure(TINY, tmp_path).stat().st_mtime_ns == built_at
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert component_digests(built_in.ensure(TINY, tmp_path)) == digests
    shutil.rmtree(folder / "vae")
    assert component_digests(built_in.ensure(TINY, tmp_path)) == digests
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_ensure_may_run_several_times_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(lambda _: built_in.ensure(TINY, tmp_path), range(3)))
    assert len(set(folders)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [folders[0].name]
