import hashlib
from pathlib import Path

from trackfarm_worker.models.digests import component_digests, file_digest


def test_a_file_digest_is_its_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8200
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_component_digest_tells_names_and_contents(tmp_path: Path) -> None:
    for folder in ("vae/a", "vae/b", ".cache"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "vae/a/one").write_text("1")
    before = component_digests(tmp_path)
    assert set(before) == {"vae"}
    (tmp_path / "vae/a/one").rename(tmp_path / "vae/b/one")
    moved = component_digests(tmp_path)
    assert moved != before
    (tmp_path / "vae/b/one").write_text("2")
    assert component_digests(tmp_path) not in (before, moved)
