"""Every example in the documents runs unchanged against a farm."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.farm import API_KEY, LocalFarm
from tests.examples.fences import LANGUAGES, command, fences, program
from tests.examples.paths import EXAMPLES
from tests.servers.presence import require
from trackfarm import Catalog, Farm

ROOT = EXAMPLES.parent
DOCUMENTS = ("docs/api.md", "docs/sdk.md", "README.md")
Script = Callable[..., str]
CASES = [
    (document, language)
    for document in DOCUMENTS
    for language in LANGUAGES
    if any(f.language == language and not f.excuse for f in fences(ROOT / document))
]


pytestmark = pytest.mark.usefixtures("demo_worker")


@pytest.fixture(scope="module")
def job_id(farm: LocalFarm, demo_worker: None) -> str:
    """Return the id of a job that is done."""
    row = {"prompt": "calm piano", "duration": 10}
    with Farm(farm.url, API_KEY) as sdk:
        return sdk.submit(Catalog.from_rows([row], name="documents")).wait().id


@pytest.mark.parametrize(("document", "language"), CASES)
def test_examples_run_as_they_stand(
    farm: LocalFarm,
    script: Script,
    tmp_path: Path,
    job_id: str,
    monkeypatch: pytest.MonkeyPatch,
    document: str,
    language: str,
) -> None:
    if language == "bash":
        require(shutil.which("curl"), "curl")
    monkeypatch.setenv("JOB", job_id)
    (tmp_path / "catalog.csv").write_text("prompt,duration,variations\ncalm piano,10,2\n")
    shutil.copy(EXAMPLES / "audio" / "harp.opus", tmp_path / "song.flac")
    examples = [f for f in fences(ROOT / document) if f.language == language and not f.excuse]
    file = tmp_path / f"examples.{language}"
    file.write_text(program(examples, farm.url, API_KEY))
    print(script(*command(language, file)))


def test_examples_that_are_not_run_are_counted() -> None:
    examples = [f for document in DOCUMENTS for f in fences(ROOT / document)]
    excused = [f"{f.document}: {f.excuse}" for f in examples if f.excuse]
    assert excused == []
    assert len(examples) >= 8
