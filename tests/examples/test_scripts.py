"""The example scripts, as processes against a farm."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.end_to_end.farm import LocalFarm
from tests.examples.paths import EXAMPLES
from trackfarm.protocol.operator import JobState

pytestmark = pytest.mark.usefixtures("demo_worker")

CATALOG, SOON_S = 15_000, 20.0  # 5 s on an idle machine
Script = Callable[..., str]


def example(name: str) -> tuple[str, Path]:
    return sys.executable, EXAMPLES / name


def test_enqueue_csv_submits_fifteen_thousand_tracks_quickly(
    farm: LocalFarm, script: Script, tmp_path: Path
) -> None:
    with (tmp_path / "catalog.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "duration", "bpm", "tags.zone"])
        writer.writerows(
            [f"calm lobby piano, mood {n}", 180, 60 + n % 60, "lobby"] for n in range(CATALOG)
        )
    output = script(*example("enqueue_csv.py"), "catalog.csv", "--priority", "-5", "--budget", "9")
    job_id, _, rest = output.partition(": ")
    job = farm.client.cancel(job_id)
    print(output)
    assert (job.state, job.tracks.total) == (JobState.CANCELLED, CATALOG)
    assert (job.priority, job.budget) == (-5, 9)
    assert float(rest.split()[-2]) < SOON_S


def test_enqueue_csv_names_wrong_rows_and_sends_nothing(script: Script, tmp_path: Path) -> None:
    (tmp_path / "catalog.csv").write_text("prompt,duration\ncalm,30\nharp,7\n")
    output = script(*example("enqueue_csv.py"), "catalog.csv", ends=1)
    assert "catalog.csv:3: duration: " in output
    assert "1 mistakes; nothing was sent" in output


def test_nightly_top_up_submits_once_a_night(
    farm: LocalFarm, script: Script, tmp_path: Path
) -> None:
    command = (*example("nightly_top_up.py"), "lobby", "calm piano", "music", "--duration", "10")
    first = script(*command, "--tracks", "2")
    again = script(*command, "--tracks", "3")
    assert first.split(":")[0] == again.split(":")[0], "the same job"
    assert "2 tracks in music" in first
    assert "2 fetched" in first
    assert "0 fetched" in again
    assert len(list((tmp_path / "music").rglob("*.mp3"))) == 2
    nights = [job for job in farm.client.jobs() if job.catalog.startswith("lobby ")]
    assert [job.tracks.total for job in nights] == [2]


def test_cover_folder_covers_each_file(script: Script, tmp_path: Path) -> None:
    options = (EXAMPLES / "audio", "bossa nova", "covers", "--model-set", "tiny")
    output = script(*example("cover_folder.py"), *options)
    assert "2 of 2 covers in covers" in output
    for name in ("harp", "melody"):
        (cover,) = (tmp_path / "covers").glob(f"*{name}.mp3")
        source = EXAMPLES / "audio" / f"{name}.opus"
        assert abs(soundfile.info(cover).duration - soundfile.info(source).duration) < 0.2


def test_ab_seeds_writes_both_seeds(script: Script, tmp_path: Path) -> None:
    output = script(
        *example("ab_seeds.py"), "calm piano", "17", "42", "compared", "--duration", "10"
    )
    files = [Path(line.partition(": ")[2]) for line in output.splitlines()]
    assert [file.name for file in files] == ["A seed 17.mp3", "B seed 42.mp3"]
    one, two = ((tmp_path / file).read_bytes() for file in files)
    assert one != two
