"""`trackfarm-worker calibrate`, on a real engine with the tiny model set."""

import json
import os
import subprocess
import sys
from pathlib import Path

from trackfarm.model_sets import model_set
from trackfarm_worker.calibration import load
from trackfarm_worker.cli import calibrate


def test_calibrate_command_measures_a_real_engine(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACKFARM_")}
    environment |= {"TRACKFARM_WORKER_DATA_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment["TRACKFARM_WORKER_MODEL_SET"] = "tiny"
    command = [sys.executable, "-m", "trackfarm_worker", calibrate.calibrate.__name__, "--json"]
    completed = subprocess.run(
        [*command, "--duration", "1", "--max-tracks", "2"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    output = json.loads(completed.stdout)
    assert [(p["duration"], p["tracks"], p["batch"]) for p in output["points"]] == [
        (1.0, 1, 1),
        (1.0, 2, 2),
    ]
    for measured_point in output["points"]:
        assert measured_point["service"] >= measured_point["denoise"] > 0
        assert measured_point["decode"] > 0
    assert output["facts"]["batch_1s"] == 2
    record = load(tmp_path)
    assert record is not None
    assert record.model_set == "tiny@1"
    assert record.facts(model_set("tiny")) == output["facts"]
