"""Layouts of checkpoint folders."""

from pathlib import Path

import pytest

from tests.worker.models.official_checkpoint import DIT, write_official
from trackfarm_worker.models import tiny
from trackfarm_worker.models.checkpoint import ModelNotReady
from trackfarm_worker.models.layout import DiffusersLayout, OfficialLayout, detect_layout

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


@pytest.fixture(scope="module")
def pipeline() -> object:
    return tiny.build()


@pytest.fixture
def official(pipeline: object, tmp_path: Path) -> Path:
    return write_official(pipeline, tmp_path / "official")


def test_detect_layout_finds_the_parts_inside_or_beside_the_dit(
    official: Path, tmp_path: Path
) -> None:
    expected = OfficialLayout(official / DIT, official / "vae", official / "Qwen3-Embedding-0.6B")
    assert detect_layout(official / DIT, DIT) == detect_layout(official, DIT) == expected
    (official / DIT / "model_index.json").touch()
    assert detect_layout(official / DIT, DIT) == DiffusersLayout(official / DIT)


def test_detect_layout_names_missing_files(official: Path, tmp_path: Path) -> None:
    (official / DIT / "silence_latent.pt").unlink()
    (official / "vae" / "config.json").unlink()
    with pytest.raises(ModelNotReady, match=r"without silence_latent\.pt.*vae/"):
        detect_layout(official, DIT)
    with pytest.raises(ModelNotReady, match="holds no checkpoint"):
        detect_layout(tmp_path, DIT)
