import hashlib
from pathlib import Path

import pytest
import torch

from trackfarm.model_sets import model_set
from trackfarm_worker.models import built_in, demo
from trackfarm_worker.models.loader import load

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
PACKAGE = Path(demo.__file__).parent
FILES = (demo.WEIGHTS, demo.VAE_WEIGHTS, demo.TOKENIZER)


def test_revision_is_that_of_the_committed_weights() -> None:
    """Machines keep built checkpoints by revision: new weights under an old one would not arrive."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((PACKAGE / name).read_bytes())
    assert model_set("demo").revision == digest.hexdigest()[:12]


def test_committed_files_are_a_few_megabytes() -> None:
    assert sum((PACKAGE / name).stat().st_size for name in FILES) < 5_500_000


def test_build_keeps_the_global_random_state() -> None:
    before = torch.random.get_rng_state()
    demo.build()
    assert torch.equal(before, torch.random.get_rng_state())


def test_loaded_checkpoint_has_the_committed_weights(tmp_path: Path) -> None:
    loaded = load(model_set("demo"), tmp_path, device="cpu").pipeline
    built = demo.build()
    for name in (*demo.TRAINED, "vae"):
        expected = getattr(built, name).state_dict()
        actual = getattr(loaded, name).state_dict()
        assert actual.keys() == expected.keys()
        assert all(torch.equal(actual[key], expected[key]) for key in expected), name
    text = "# Metas\n- bpm: 120\n"
    assert loaded.tokenizer(text).input_ids == built.tokenizer(text).input_ids


def test_checkpoint_is_built_once(tmp_path: Path) -> None:
    folder = built_in.ensure(model_set("demo"), tmp_path)
    assert folder.name == f"demo-{model_set('demo').revision}"
    built_at = folder.stat().st_mtime_ns
    assert built_in.ensure(model_set("demo"), tmp_path).stat().st_mtime_ns == built_at
