"""A command's connection: every error of the client is a message and an exit code."""

import pytest
import typer

from tests.common.cli.command_line import Trackfarm, run
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.cli.console import ExitCode
from trackfarm.cli.session import exit_on_farm_errors, farm_connection, job_or_newest
from trackfarm.client import FarmError, FarmUnreachable, RequestRefused, UnsafeAddress
from trackfarm.protocol.base import ProblemDetails


def refusal(status: int) -> RequestRefused:
    return RequestRefused(
        ProblemDetails(title="No", status=status, detail="no", errors=[{"row": 3, "field": "bpm"}])
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FarmUnreachable("http://x", "gone"), ExitCode.UNREACHABLE, "no farm answers at http://x"),
        (FarmError("odd"), ExitCode.UNREACHABLE, "odd"),
        (UnsafeAddress("use https"), ExitCode.BAD_INPUT, "use https"),
        (refusal(422), ExitCode.BAD_INPUT, "row: 3, field: bpm"),
        (refusal(409), ExitCode.REFUSED, "No: no"),
        (refusal(401), ExitCode.REFUSED, "check TRACKFARM_API_KEY"),
    ],
)
def test_exit_on_farm_errors_has_a_code_and_a_message_for_each_error(
    error: FarmError, code: ExitCode, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ending, exit_on_farm_errors():
        raise error
    assert ending.value.exit_code == code
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_farm")
def test_farm_connection_without_a_farm_names_the_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ending, farm_connection():
        pass
    assert ending.value.exit_code == ExitCode.UNREACHABLE
    assert "`trackfarm up` or set TRACKFARM_URL" in capsys.readouterr().err


@pytest.mark.usefixtures("no_farm")
def test_farm_connection_with_a_wrong_setting_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKFARM_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TRACKFARM_API_KEY", "key")
    monkeypatch.setenv("TRACKFARM_CA_FILE", "/nowhere.crt")
    with pytest.raises(typer.Exit) as ending, farm_connection():
        pass
    assert ending.value.exit_code == ExitCode.BAD_INPUT
    assert "/nowhere.crt" in capsys.readouterr().err


def test_job_or_newest_takes_a_path_for_a_mistake(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    with farm_connection() as client:
        assert job_or_newest(client, None).id == "job_aaaa0001"
        with pytest.raises(typer.Exit):
            job_or_newest(client, "songs/")
    assert trackfarm("show", "songs/").exit_code == ExitCode.REFUSED


def test_job_or_newest_of_an_empty_farm_is_refused(trackfarm: Trackfarm) -> None:
    result = trackfarm("show")
    assert result.exit_code == ExitCode.REFUSED
    assert "this farm has no jobs yet" in result.stderr


def test_bad_usage_exits_with_2() -> None:
    assert run("show", "--no-such-option").exit_code == ExitCode.BAD_INPUT
