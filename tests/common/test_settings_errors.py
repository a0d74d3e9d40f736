"""Messages for invalid settings, in each process that reads settings."""

import sys
from collections.abc import Callable
from typing import Literal

import pytest
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from trackfarm.settings import BAD_SETTINGS
from trackfarm.settings_errors import SETTINGS_ERRORS, settings_problems
from trackfarm_fleet import __main__ as fleet
from trackfarm_fleet.settings import FleetSettings
from trackfarm_scheduler import __main__ as scheduler
from trackfarm_worker import __main__ as worker


class Kitchen(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KITCHEN_", populate_by_name=True)

    knives: tuple[Literal["long", "short"], ...] = ()
    ovens: int = Field(default=1, ge=0, le=4)
    heat: float = Field(default=1.0, gt=0)
    key: SecretStr = Field(
        default=SecretStr("x" * 8),
        min_length=8,
        validation_alias=AliasChoices("KITCHEN_KEY", "KEY_OF_THE_KITCHEN"),
    )


def problems_of(**values: object) -> str:
    with pytest.raises(SETTINGS_ERRORS) as raised:
        Kitchen.model_validate(values)
    return "\n".join(settings_problems(raised.value, "KITCHEN_", {"heat": "--heat"}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"knives": ["long", "blunt"]},
            "KITCHEN_KNIVES[1] 'blunt' is not one of: 'long' or 'short'",
        ),
        ({"ovens": "many"}, "KITCHEN_OVENS is not a whole number"),
        ({"ovens": 5}, "KITCHEN_OVENS must be at most 4"),
        ({"heat": 0}, "--heat must be greater than 0"),
    ],
)
def test_settings_problems_name_the_variable_and_the_valid_values(
    values: dict[str, object], words: str
) -> None:
    assert problems_of(**values) == words.replace("greater than 0", "greater than 0.0")


def test_settings_problems_show_no_secret() -> None:
    message = problems_of(KEY_OF_THE_KITCHEN="secret")
    assert message.startswith("KEY_OF_THE_KITCHEN ")
    assert "secret" not in message


@pytest.mark.parametrize(
    ("main", "variable"),
    [
        (scheduler.main, "TRACKFARM_SCHEDULER_WEBHOOK_PORTS"),
        (worker.main, "TRACKFARM_WORKER_SOURCE_NETWORKS"),
        (fleet.main, "TRACKFARM_FLEET_PROVIDERS"),
    ],
)
def test_settings_with_a_list_that_is_no_json_end_each_process_without_a_traceback(
    main: Callable[[], int],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["process"])
    monkeypatch.setenv(variable, "runpod")
    assert main() == BAD_SETTINGS
    stderr = capsys.readouterr().err
    assert f'{variable} is not JSON; write lists as ["a", "b"]' in stderr


def test_settings_problems_name_the_option_that_was_typed() -> None:
    with pytest.raises(SETTINGS_ERRORS) as raised:
        FleetSettings(providers=("aws",))
    (line,) = settings_problems(raised.value, "TRACKFARM_FLEET_", {"providers": "--provider"})
    assert line == "--provider 'aws' is not one of: 'runpod', 'vast', 'local' or 'manual'"
