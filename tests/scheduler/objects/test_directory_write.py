"""Upload of one object into a directory: invisible until complete, and its digest."""

import hashlib
from pathlib import Path

import pytest

from trackfarm_scheduler.objects.directory_write import AlreadyThere, Incoming, digest_of

MD5 = hashlib.md5(b"music", usedforsecurity=False).hexdigest()


def incoming(root: Path) -> Incoming:
    return Incoming(
        folder=root / "incoming", target=root / "objects/a/b", digest_target=root / "digests/a/b"
    )


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_object_appears_with_its_digest_when_finished(tmp_path: Path) -> None:
    with incoming(tmp_path) as upload:
        upload.write(b"mu")
        upload.write(b"sic")
        assert "objects/a/b" not in files(tmp_path)
        upload.finish()
    assert files(tmp_path) == ["digests/a/b", "objects/a/b"]
    assert (tmp_path / "objects/a/b").read_bytes() == b"music"
    assert (upload.size, upload.md5_hex) == (5, MD5)


def test_unfinished_upload_leaves_nothing(tmp_path: Path) -> None:
    with incoming(tmp_path) as upload:
        upload.write(b"mu")
    assert files(tmp_path) == []


def test_finish_once_replaces_no_object(tmp_path: Path) -> None:
    for content in (b"music", b"other"):
        with incoming(tmp_path) as upload:
            upload.write(content)
            if content == b"music":
                upload.finish(once=True)
                continue
            with pytest.raises(AlreadyThere):
                upload.finish(once=True)
    assert (tmp_path / "objects/a/b").read_bytes() == b"music"
    assert files(tmp_path) == ["digests/a/b", "objects/a/b"]


def test_digest_is_computed_again_for_another_file(tmp_path: Path) -> None:
    path, digest = tmp_path / "file", tmp_path / "digest"
    path.write_bytes(b"music")
    assert digest_of(path, digest, path.stat()) == MD5
    digest.write_text(digest.read_text().replace(MD5, "0" * 32))
    assert digest_of(path, digest, path.stat()) == "0" * 32, "the stored digest of this file"
    path.write_bytes(b"other music")
    assert digest_of(path, digest, path.stat()) != "0" * 32
