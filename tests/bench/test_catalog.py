"""Catalog bench: a farm that makes a mixed catalog one by one, then in batches."""

import subprocess
import sys
from typing import Any

import pytest

from trackfarm_bench.catalog.briefs import SOURCES, mixed

NAMES = {seconds: f"https://example.org/{seconds}.wav" for seconds in SOURCES}


def kinds(field: str) -> set[Any]:
    return {getattr(brief, field) for brief in mixed(200, NAMES)}


def test_mixed_briefs_are_deterministic_and_cover_all_tasks() -> None:
    assert mixed(50, NAMES) == mixed(50, NAMES)
    tasks = {"text2music", "cover", "repaint", "extract", "lego", "complete"}
    assert kinds("task_type") == tasks
    assert kinds("audio_format") == {"mp3", "wav", "flac", "opus"}
    assert kinds("guidance_scale") == {1.0, 4.0, 7.0}
    assert kinds("duration") == set(range(10, 31))


@pytest.mark.soak
def test_catalog_bench_compares_batches_with_single_tracks() -> None:
    options = ["--tracks", "24", "--device", "synthetic", "--launch", "0.02"]
    done = subprocess.run(
        [sys.executable, "-m", "trackfarm_bench", "catalog", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    speeds, stages = (
        {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in table}
        for table in tables(done.stdout)
    )
    assert speeds["synthetic, one by one"][2:4] == ["1.00", "8.00"]
    assert float(speeds["synthetic, batches"][3]) < 8
    assert int(stages["synthetic, one by one"][1].removesuffix(" ms")) >= 8 * 20


def tables(text: str) -> list[list[str]]:
    """Return the rows of each Markdown table without its head."""
    parts = [part.splitlines() for part in text.split("\n\n") if part.startswith("| ")]
    return [[line for line in part[2:] if line.startswith("| ")] for part in parts]
