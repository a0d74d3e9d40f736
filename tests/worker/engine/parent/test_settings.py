"""Start parameters of an engine process."""

from pathlib import Path

import pytest

from trackfarm_worker.engine.options import EngineOptions, SyntheticCost
from trackfarm_worker.engine.parent.settings import EngineSettings


@pytest.mark.parametrize("values", [{"threads": 0}, {"step_delay": 200.0}, {"step_delay": -1.0}])
def test_settings_out_of_range_are_refused(tmp_path: Path, values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} must be"):
        EngineSettings(model_set="tiny", spool=tmp_path, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "options"),
    [("synthetic", EngineOptions()), ("cpu", EngineOptions(synthetic=SyntheticCost()))],
)
def test_settings_accept_the_synthetic_device_only_with_its_options(
    tmp_path: Path, device: str, options: EngineOptions
) -> None:
    with pytest.raises(ValueError, match="makes no music"):
        EngineSettings(model_set="tiny", spool=tmp_path, device=device, options=options)
