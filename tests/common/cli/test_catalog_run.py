"""The catalog of `up --submit --export`, against a farm over HTTP: its output and its files."""

import json
from pathlib import Path

import pytest

from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState, make_ended_job
from tests.servers.process import wait_until
from trackfarm.cli import console
from trackfarm.cli.catalog_run import CatalogRun
from trackfarm.cli.console import ExitCode
from trackfarm.protocol.operator import TrackCounts
from trackfarm.settings import FarmAddress

CATALOG = "prompt,duration,bpm\ncalm jazz,10,90\ngamelan,10,90\nlo-fi,10,90\n"


def make(farm: FarmState, folder: Path, model_set: str, *, as_json: bool = False) -> ExitCode:
    """Run a catalog of three tracks that the farm has made already."""
    console.out.cache_clear()
    console.err.cache_clear()
    job = make_ended_job(model_set=model_set, is_noise=model_set == "tiny")
    farm.add_job(job.model_copy(update={"tracks": TrackCounts(done=3)}), [b"a", b"b", b"c"])
    catalog = folder / "hotel.csv"
    catalog.write_text(CATALOG)
    run = CatalogRun.prepare(catalog, folder / "out", model_set=model_set, as_json=as_json)
    run.start(FarmAddress(farm.url, API_KEY))
    wait_until(lambda: run.done, timeout_s=20, what="the run has ended")
    return run.finish()


def test_catalog_run_ends_with_how_to_play_its_tracks(
    farm: FarmState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(farm, tmp_path, "demo") is ExitCode.OK
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == "demo plays pop for a prompt that names none of its genres: 1 brief (row 3)"
    assert printed.count("`demo` is a 5 MB toy") == 1
    assert any(f"{tmp_path}/out/listen.html" in line for line in lines[-2:])
    assert (tmp_path / "out" / "listen.html").exists()


def test_catalog_run_of_random_weights_says_so(
    farm: FarmState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(farm, tmp_path, "tiny") is ExitCode.OK
    printed = capsys.readouterr().out
    assert "has random weights" in printed
    assert "play    " in printed


def test_catalog_run_as_json_prints_json_only(
    farm: FarmState, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(farm, tmp_path, "demo", as_json=True) is ExitCode.OK
    *_, report = map(json.loads, capsys.readouterr().out.splitlines())
    assert report["listen"] == str(tmp_path / "out" / "listen.html")
    assert report["fetched"] == 3
