"""Options of the commands that override the settings of the environment."""

import pytest
import typer

from trackfarm.cli.console import ExitCode
from trackfarm_fleet.cli.options import confirm, fleet_settings


def test_fleet_settings_are_overridden_by_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKFARM_FLEET_MAX_PRICE", "1.5")
    monkeypatch.setenv("TRACKFARM_FLEET_DISK_GB", "80")
    kept = fleet_settings(provider=None)
    assert (kept.max_price, kept.disk_gb, kept.interruptible) == (1.5, 80, "never")
    overridden = fleet_settings(
        provider=["local"], gpu=["L4"], interruptible=True, max_price=0.5, model_set="tiny"
    )
    assert overridden.provider_names == ("local",)
    assert (overridden.gpus, overridden.max_price) == (("L4",), 0.5)
    assert [query.interruptible for query in overridden.queries] == [False, True]
    assert (overridden.model_set, overridden.disk_gb) == ("tiny", 80)


def test_fleet_settings_name_the_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_:
        fleet_settings(provider=["aws"])
    assert exit_.value.exit_code == ExitCode.BAD_INPUT
    assert "--provider 'aws' is not one of" in capsys.readouterr().err


def test_confirm_needs_a_terminal_or_yes(capsys: pytest.CaptureFixture[str]) -> None:
    confirm("Rent?", yes=True)
    with pytest.raises(typer.Exit) as exit_:
        confirm("Rent?", yes=False)
    assert exit_.value.exit_code == ExitCode.BAD_INPUT
    assert "add --yes; nothing was rented" in " ".join(capsys.readouterr().err.split())
