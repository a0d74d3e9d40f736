import subprocess
import sys
from inspect import signature

import pytest

from trackfarm.broker import queue_name
from trackfarm.cli.up import up
from trackfarm.model_sets import DEFAULT_MODEL_SET, UnknownModelSet, model_set, model_sets
from trackfarm.protocol.operator import JobHeader
from trackfarm.tiers import tiers
from trackfarm_fleet.cli.fleet import up as fleet_up
from trackfarm_worker.settings import WorkerSettings

ALL_TASKS = {"text2music", "cover", "cover-nofsq", "repaint", "extract", "lego", "complete"}


def test_model_sets_are_consistent() -> None:
    smallest = {tier.vram for tier in tiers().values()} | {0}
    for name, row in model_sets().items():
        assert row.name == name
        assert 1 <= row.default_steps <= row.max_steps
        assert row.default_guidance == 1.0 or row.cfg
        assert {"text2music"} <= row.tasks <= ALL_TASKS
        assert row.min_vram in smallest
        assert row.lean_weights_gb <= row.weights_gb
        assert row.weights_gb <= max(row.min_vram, 0.05) * 1.1 or row.lean_weights_gb < row.min_vram
        assert row.sample_rate == 48_000


def test_model_sets_turbo_is_distilled_and_base_does_all_tasks() -> None:
    rows = [row for row in model_sets().values() if not row.is_built_in]
    assert {row.name for row in rows if not row.cfg} == {
        row.name for row in rows if "turbo" in row.name
    }
    assert {row.name for row in rows if row.tasks == ALL_TASKS} == {
        "acestep-v15-base",
        "acestep-v15-xl-base",
    }


def test_model_set_tiny_runs_anywhere_and_is_noise() -> None:
    tiny = model_set("tiny")
    assert (tiny.is_noise, tiny.min_vram, tiny.dtype) == (True, 0, "float32")
    assert tiny.tasks == ALL_TASKS
    assert not tiny.is_xl
    assert [row.name for row in model_sets().values() if row.is_noise] == ["tiny"]


def test_model_set_demo_is_built_in_and_makes_music() -> None:
    demo = model_set("demo")
    assert (demo.is_noise, demo.min_vram, demo.repository) == (False, 0, "")
    assert demo.tasks == {"text2music", "repaint"}
    assert {row.name for row in model_sets().values() if row.is_built_in} == {"tiny", "demo"}


def test_model_set_identity_has_the_revision_and_is_unique() -> None:
    tiny = model_set("tiny")
    assert tiny.identity == f"tiny@{tiny.revision}"
    identities = {row.identity for row in model_sets().values()}
    assert len(identities) == len(model_sets())


def test_model_set_names_fit_into_queue_names() -> None:
    for name in model_sets():
        assert queue_name("vram24", name).split(".") == ["gpu", "vram24", name]


def test_model_set_that_is_unknown_names_the_known_ones() -> None:
    with pytest.raises(UnknownModelSet, match=r"'acestep-v2'.*tiny, demo, acestep-v15-turbo,"):
        model_set("acestep-v2")


def test_model_sets_import_no_torch() -> None:
    code = (
        "import trackfarm.model_sets as m, sys; m.model_sets(); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_default_model_set_is_the_same_for_jobs_workers_and_the_embedded_farm() -> None:
    assert model_set(DEFAULT_MODEL_SET).is_built_in, "a farm without a GPU and a network has it"
    assert JobHeader(catalog="spa").model_set == DEFAULT_MODEL_SET
    assert WorkerSettings.model_fields["model_set"].default == DEFAULT_MODEL_SET
    for command in (up, fleet_up):
        assert signature(command).parameters["model_set"].default == DEFAULT_MODEL_SET
