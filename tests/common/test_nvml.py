"""GPUs and their usage, from a fake driver library."""

from pathlib import Path

import pytest

from tests.fake_nvml import H200, RTX_4090, FakeDriver

IMPORTS = """
from dataclasses import asdict
from trackfarm.nvml import NvmlSession
nvml = NvmlSession()
nvml.__enter__()
"""


def test_gpus_have_name_and_memory_by_index(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [H200, RTX_4090])
    gpus = "{index: asdict(gpu) for index, gpu in nvml.gpus().items()}"
    assert driver.result(IMPORTS, gpus) == {
        "0": {"name": "NVIDIA H200", "memory_mib": 143_771},
        "1": {"name": "NVIDIA GeForce RTX 4090", "memory_mib": 24_564},
    }
    assert driver.result(IMPORTS, "nvml.driver_version") == "570.86.15"


def test_gpus_that_do_not_respond_keep_the_indices_of_the_others(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, ["GPU-1||0|0|0", H200])
    assert driver.result(IMPORTS, "list(nvml.gpus())") == [1]


@pytest.mark.parametrize("identifier", ["1", "GPU-22"])
def test_gpu_is_found_by_index_and_by_uuid(tmp_path: Path, identifier: str) -> None:
    driver = FakeDriver(tmp_path, [H200, RTX_4090])
    gpu = driver.result(IMPORTS, f"asdict(nvml.gpu({identifier!r}))")
    assert gpu == {"name": "NVIDIA GeForce RTX 4090", "memory_mib": 24_564}


def test_gpu_that_is_missing_leaves_a_problem(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [H200])
    assert driver.result(IMPORTS, "[nvml.gpu('7'), nvml.problem]") == [None, "Not Found"]


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("GPU-1|A GPU|8192|1024|37", {"memory_mib": 1024, "utilisation": 0.37}),
        ("GPU-1|A GPU|8192|0|120", {"memory_mib": 0, "utilisation": 1.0}),
        ("GPU-1|A GPU|8192|1024|", None),
        ("GPU-1||8192|1024|37", None),
    ],
)
def test_usage_is_complete_or_none(tmp_path: Path, line: str, usage: object) -> None:
    driver = FakeDriver(tmp_path, [line])
    assert driver.result(IMPORTS + "usage = nvml.usage('0')", "usage and asdict(usage)") == usage


def test_session_without_a_driver_has_no_gpus(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, None)
    values = "[nvml.gpus(), nvml.gpu('0'), nvml.usage('0'), nvml.driver_version, nvml.problem]"
    assert driver.result(IMPORTS, values) == [{}, None, None, "", "Driver Not Loaded"]


def test_session_without_the_package_has_no_gpus(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, [H200])
    without = "import sys; sys.modules['pynvml'] = None" + IMPORTS
    gpus, problem = driver.result(without, "[nvml.gpus(), nvml.problem]")
    assert gpus == {}
    assert "nvidia-ml-py is not installed" in problem
