import hashlib
from pathlib import Path

from trackfarm_worker.models.digests import (
    DigestCache,
    component_digests,
    differences,
    file_digest,
    file_digests,
    read_digests,
    write_digests,
)


def test_file_digest_is_the_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8200
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_component_digests_cover_names_and_contents(tmp_path: Path) -> None:
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


def test_differences_name_each_file(tmp_path: Path) -> None:
    for name in ("a/one", "a/two", "b/three"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert read_digests(tmp_path) is None
    write_digests(tmp_path)
    written = read_digests(tmp_path)
    assert written is not None
    assert differences(written, written) == []
    actual = {"a/one": written["a/one"], "a/two": "0" * 64, "c/four": "1" * 64}
    assert differences(written, actual) == [
        "a/two has other contents",
        "b/three is missing",
        "c/four is not listed in digests.txt",
    ]


def test_cache_keeps_digests_until_a_file_changes(tmp_path: Path) -> None:
    (folder := tmp_path / "model" / "vae").mkdir(parents=True)
    (folder / "one").write_text("1")
    (folder / "two").write_text("2")

    def digests() -> tuple[dict[str, str], int, int]:
        cache = DigestCache(tmp_path / "model", cache_folder=tmp_path / "kept")
        actual = file_digests(tmp_path / "model", cache.digest_of)
        cache.save()
        return actual, cache.hashed, cache.cached

    first, hashed, remembered = digests()
    assert (hashed, remembered) == (2, 0)
    assert digests() == (first, 0, 2)
    (folder / "two").write_text("22")
    second, hashed, remembered = digests()
    assert (hashed, remembered) == (1, 1)
    assert second == first | {"vae/two": file_digest(folder / "two")}
    next((tmp_path / "kept").iterdir()).write_text("[")
    assert digests() == (second, 2, 0)
