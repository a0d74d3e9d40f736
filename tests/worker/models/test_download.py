"""Pulling a model set: from a hub (a small one on loopback), from a folder, repeatedly, and with
errors."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.models.hub import Hub, commit_of, hub
from tests.worker.models.official_checkpoint import DIT, write_official
from trackfarm.model_sets import model_set, model_sets
from trackfarm_worker.models import built_in, tiny
from trackfarm_worker.models.cache import model_folder, require_disk_space
from trackfarm_worker.models.checkpoint import ModelNotReady, check_integrity
from trackfarm_worker.models.download import pull

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")

SFT, XL = model_set("acestep-v15-sft"), model_set("acestep-v15-xl-sft")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint in diffusers layout."""
    return built_in.ensure(model_set("tiny"), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tiny.build(), tmp_path_factory.mktemp("official"))


@pytest.fixture
def the_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.url)
        yield serving


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep all caches in the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_pull_from_a_folder_writes_digests_for_sha256sum(good: Path, tmp_path: Path) -> None:
    (source := tmp_path / "source").mkdir()
    shutil.copytree(good, source, dirs_exist_ok=True)
    (source / "digests.txt").unlink()
    (source / "transformer" / "modeling.py").write_text("raise SystemExit")
    small_set = XL.model_copy(update={"download_gb": 0.01})
    pulled = pull(small_set, to=tmp_path / "xl", source=str(source))
    assert pulled.folder == tmp_path / "xl"
    assert not pulled.was_there
    check = ["sha256sum", "--check", "--strict", "--quiet", "digests.txt"]
    subprocess.run(check, cwd=pulled.folder, check=True)
    assert not list(pulled.folder.rglob("*.py"))
    assert "match digests.txt" in check_integrity(pulled.folder).remark
    assert json.loads((pulled.folder / "origin.json").read_text())["source"] == str(source)
    assert pull(small_set, to=tmp_path / "xl", source=str(source)).was_there
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_pull_replaces_a_damaged_folder(good: Path, tmp_path: Path) -> None:
    small_set = XL.model_copy(update={"download_gb": 0.01})
    pulled = pull(small_set, to=tmp_path / "xl", source=str(good))
    before = check_integrity(pulled.folder).components
    (pulled.folder / "vae" / "config.json").write_text("{}")
    assert not pull(small_set, to=tmp_path / "xl", source=str(good)).was_there
    assert check_integrity(pulled.folder).components == before


def test_pull_downloads_data_files_at_one_commit(the_hub: Hub, good: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(good, tmp_path / "repository"))
    (source / "handler.py").write_text("raise SystemExit")
    the_hub.repositories[XL.repository] = source
    small_set = XL.model_copy(update={"download_gb": 0.01})
    messages: list[str] = []
    pulled = pull(small_set, to=tmp_path / "xl", on_progress=messages.append)
    assert check_integrity(pulled.folder).components == check_integrity(good).components
    downloads = [line for line in the_hub.requests if "/resolve/" in line]
    assert downloads
    assert all(f"/resolve/{commit_of(XL.repository)}/" in line for line in downloads)
    assert not [line for line in the_hub.requests if "handler.py" in line]
    assert json.loads((pulled.folder / "origin.json").read_text())["commit"] == commit_of(
        XL.repository
    )
    assert messages[0].startswith(f"fetching {XL.repository}@main (about 0.01 GB)")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    asked = len(the_hub.requests)
    assert pull(small_set, to=tmp_path / "xl").was_there
    assert len(the_hub.requests) == asked


def test_pull_downloads_an_official_checkpoint_in_two_parts_and_converts_it(
    the_hub: Hub, official: Path, good: Path, tmp_path: Path
) -> None:
    main = Path(shutil.copytree(official, tmp_path / "main"))
    (main / "acestep-5Hz-lm-1.7B").mkdir()
    (main / "acestep-5Hz-lm-1.7B" / "model.safetensors").write_bytes(b"too large")
    the_hub.repositories = {SFT.repository: official / DIT, SFT.parts_repository: main}
    small_set = SFT.model_copy(update={"download_gb": 0.01, "dtype": "float32"})
    pulled = pull(small_set, to=tmp_path / "sft")
    names = ("transformer", "condition_encoder", "audio_tokenizer", "vae")
    for name in names:
        weights = f"{name}/diffusion_pytorch_model.safetensors"
        assert (pulled.folder / weights).stat().st_size == (good / weights).stat().st_size
    assert not [line for line in the_hub.requests if "5Hz" in line]
    origin = json.loads((pulled.folder / "origin.json").read_text())
    assert origin["parts_repository"] == "ACE-Step/Ace-Step1.5"
    assert origin["parts_commit"] == commit_of("ACE-Step/Ace-Step1.5")


@pytest.mark.parametrize("name", [row.name for row in model_sets().values() if not row.is_built_in])
def test_pull_takes_every_model_set_from_official_repositories(
    the_hub: Hub, official: Path, good: Path, tmp_path: Path, name: str
) -> None:
    row = model_set(name)
    assert row.repository.startswith("ACE-Step/")
    # The repository of the DiT alone; VAE and text encoder are in that of the parts.
    (parts := tmp_path / "parts").mkdir()
    for part in ("vae", "Qwen3-Embedding-0.6B"):
        shutil.copytree(official / part, parts / part)
    dit = f"ACE-Step/{row.dit}"
    the_hub.repositories = {dit: official / DIT, row.parts_repository: parts}
    small_set = row.model_copy(update={"download_gb": 0.01, "dtype": "float32"})
    pulled = pull(small_set, to=tmp_path / "pulled", source=dit)
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert (pulled.folder / weights).stat().st_size == (good / weights).stat().st_size
    check_integrity(pulled.folder)


def test_pull_of_the_turbo_model_finds_all_in_the_main_repository(
    the_hub: Hub, official: Path, tmp_path: Path
) -> None:
    turbo = model_set("acestep-v15-turbo")
    main = Path(shutil.copytree(official, tmp_path / "main"))
    (main / DIT).rename(main / turbo.dit)
    the_hub.repositories = {turbo.repository: main}
    small_set = turbo.model_copy(update={"download_gb": 0.01, "dtype": "float32"})
    check_integrity(pull(small_set, to=tmp_path / "pulled").folder)


def test_pull_from_a_folder_without_a_vae_says_where_to_get_it(
    official: Path, tmp_path: Path
) -> None:
    shutil.copytree(official / DIT, alone := tmp_path / "alone")
    with pytest.raises(ModelNotReady, match=r"without vae/ .* \(from ACE-Step/Ace-Step1\.5\)"):
        pull(SFT.model_copy(update={"download_gb": 0.01}), to=tmp_path / "p", source=str(alone))


def test_pull_resumes_an_interrupted_download(the_hub: Hub, good: Path, tmp_path: Path) -> None:
    the_hub.repositories[XL.repository] = good
    small_set = XL.model_copy(update={"download_gb": 0.01})
    the_hub.broken = "vae/config.json"
    with pytest.raises(ModelNotReady, match="could not be downloaded"):
        pull(small_set, to=tmp_path / "xl")
    assert not (tmp_path / "xl").exists()
    before, the_hub.broken = set(the_hub.served), ""
    assert before
    the_hub.served.clear()
    pulled = pull(small_set, to=tmp_path / "xl")
    assert "vae/config.json" in the_hub.served
    assert not before & set(the_hub.served)
    assert check_integrity(pulled.folder).components == check_integrity(good).components


def test_pull_of_an_unknown_repository_says_the_remedy(the_hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotReady, match=r"check the name and revision, or set HF_TOKEN"):
        pull(XL.model_copy(update={"download_gb": 0.0}), to=tmp_path / "xl")
    assert not (tmp_path / "xl").exists()


def test_pull_from_an_unreachable_hub_says_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelNotReady, match=r"Check the network.*--source"):
        pull(XL.model_copy(update={"download_gb": 0.0}), to=tmp_path / "xl")


def test_require_disk_space_says_how_much_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotReady, match=r"GB of free disk space, 1000000\.0 GB are needed.*--to"
    ):
        require_disk_space(tmp_path, 1e6)


def test_model_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_MODELS", str(tmp_path))
    turbo = model_set("acestep-v15-xl-turbo")
    assert model_folder(turbo) == tmp_path / "acestep-v15-xl-turbo-200ba991ae44"
