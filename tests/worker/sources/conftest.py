"""Good and hostile_files files behind a web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.sources.files import flac, hostile_files, tone, wav
from tests.worker.sources.hosts import SourceHost, serve_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder_path = tmp_path_factory.mktemp("sources")
    (folder_path / "good.flac").write_bytes(flac(tone(48_000)))
    (folder_path / "secret.wav").write_bytes(wav(tone(48_000)))
    for name, content in hostile_files(folder_path).items():
        (folder_path / name).write_bytes(content)
    return folder_path


@pytest.fixture(scope="session")
def host(folder: Path) -> Iterator[SourceHost]:
    with serve_folder(folder) as server:
        yield server
