"""Good and hostile files behind a web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.sources.files import flac, hostile, tone, wav
from tests.worker.sources.hosts import Host, hosting


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sources")
    (made / "good.flac").write_bytes(flac(tone(48_000)))
    (made / "secret.wav").write_bytes(wav(tone(48_000)))
    for name, content in hostile(made).items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture(scope="session")
def host(folder: Path) -> Iterator[Host]:
    with hosting(folder) as made:
        yield made
