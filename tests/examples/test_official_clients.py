"""Clients written for ACE-Step's own server run unchanged."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

from tests.end_to_end.farm import API_KEY, LocalFarm
from tests.examples.paths import EXAMPLES
from tests.servers.presence import require

CLIENTS = Path(__file__).parents[1] / "scheduler" / "acestep_api" / "clients"
Script = Callable[..., str]


def test_curl_client_of_the_documentation_runs_unchanged(
    farm: LocalFarm, script: Script, tmp_path: Path
) -> None:
    require(shutil.which("curl"), "curl")
    song = EXAMPLES / "audio" / "harp.opus"
    output = script("sh", CLIENTS / "curl_client.sh", farm.url, API_KEY, song)
    assert output.split("\n")[:3] == ["1 audio/mpeg", "1 audio/wav", "1 audio/mpeg"]
    seconds = [soundfile.info(tmp_path / name).duration for name in ("json.mp3", "form.wav")]
    assert all(abs(each - 10) < 0.1 for each in seconds)
    remix = soundfile.info(tmp_path / "files.mp3").duration
    assert abs(remix - soundfile.info(song).duration) < 0.2


def test_python_client_runs_unchanged(farm: LocalFarm, script: Script) -> None:
    output = script(sys.executable, CLIENTS / "python_client.py", farm.url, API_KEY)
    results: dict[str, Any] = json.loads(output)
    assert results["statuses"][0] == 0
    assert results["statuses"][-1] == 1
    assert (results["result"]["seed_value"], results["result"]["metas"]["bpm"]) == ("7", 90)
    assert results["bytes"] > 10_000
    assert results["unknown"][0] == 2
    assert results["wrong_key"][0] == 401
    assert results["wrong_value"][0] == 400
    assert "bpm" in results["wrong_value"][1]
    assert results["models"]["data"]["default_model"] == "tiny"
