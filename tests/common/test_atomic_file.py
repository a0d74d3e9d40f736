"""Files that appear complete or not at all."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackfarm.atomic_file import atomic_path, part_of, write_atomically, write_private


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_atomic_path_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "levels.json"
    path.write_text("old")
    with atomic_path(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_keeps_the_old_file_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "levels.json"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        _write_half_a_file(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_without_a_written_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "levels.json"):
        pass


def test_atomic_path_of_a_shared_file_names_the_process(tmp_path: Path) -> None:
    path = tmp_path / "levels.json"
    with atomic_path(path, is_shared=True) as part:
        assert part != part_of(path)
        assert str(os.getpid()) in part.name
        part.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("content", ["Füße\r\n", b"\x00\xff"])
def test_write_atomically_writes_text_and_bytes_as_they_are(
    tmp_path: Path, content: str | bytes
) -> None:
    path = tmp_path / "note"
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert mode_of(path) == 0o644


@pytest.mark.usefixtures("umask")
def test_write_private_never_shows_the_content_to_others(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text("old")
    part_of(path).write_text("left by a killed process")
    assert mode_of(part_of(path)) == 0o644
    write_private(path, "secret")
    assert (path.read_text(), mode_of(path)) == ("secret", 0o600)
    assert not part_of(path).exists()


def test_readers_of_a_file_see_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "state"
    contents = {letter * 100_000 for letter in "abc"}
    write_atomically(path, "a" * 100_000)
    done = threading.Event()
    contents_read: set[str] = set()

    def read() -> None:
        while not done.is_set():
            contents_read.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        for content in sorted(contents):
            write_atomically(path, content)
    done.set()
    reader.join()
    assert contents_read
    assert contents_read <= contents


def _write_half_a_file(path: Path) -> None:
    with atomic_path(path) as part:
        part.write_text("ne")
        raise OSError("disk full")
