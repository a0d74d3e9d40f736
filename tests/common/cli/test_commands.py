"""The table of commands: its help lines, its parts, and start-up without imports."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from tests.common.cli.command_line import run
from trackfarm.cli import app, commands, installed_parts
from trackfarm.cli.commands import COMMANDS, CommandSpec

PACKAGES_OF_PARTS = ("trackfarm_scheduler", "trackfarm_worker", "trackfarm_fleet", "trackfarm_sim")
HEAVY = {"torch", "celery", "sqlmodel", "numpy", "fastapi", "httpx", "pydantic", "rich", "yaml"}
NOT_FOR_CHECK = (HEAVY - {"pydantic", "yaml"}) | {"tenacity", "structlog", "pydantic_settings"}
MISSING = CommandSpec("dance", "nowhere:dance", "Dance.", needs=("no_such_package",), extra="shoes")


def help_of(command: object) -> str:
    text = command.info.help if isinstance(command, typer.Typer) else inspect.getdoc(command)
    return str(text)


def modules_after(program: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", f"{program}; print(*sys.modules, file=sys.stderr)", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_load_and_have_the_help_line_of_the_table(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    function = getattr(import_module(module), attribute)
    assert help_of(function).splitlines()[0] == COMMANDS[name].help
    loaded = COMMANDS[name].load()
    assert loaded.name == name
    assert COMMANDS[name].help in " ".join(loaded.help.split())


def test_commands_are_all_listed_here_where_every_part_is_installed() -> None:
    listing = " ".join(run("--help").stdout.split())
    assert [name for name in COMMANDS if f"│ {name} " not in listing] == []


def test_commands_of_a_missing_part_are_not_listed_and_say_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(commands.COMMANDS, MISSING.name, MISSING)
    assert "dance" not in run("--help").stdout
    result = run("dance")
    assert result.exit_code == 2
    assert "'trackfarm[shoes]'" in result.stderr


def test_commands_suggest_a_name_for_a_typing_error() -> None:
    result = run("sumbit")
    assert result.exit_code == 2
    assert "submit" in result.stderr


def test_commands_of_other_packages_are_not_imported_by_help() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from trackfarm.cli import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0"
    )
    modules = modules_after(program)
    assert not modules & {*PACKAGES_OF_PARTS, "trackfarm.cli.submit", "httpx", "pydantic"}


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    assert not HEAVY & modules_after("import sys, trackfarm.cli")


def test_check_imports_no_client() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from trackfarm.cli import app;"
        "assert CliRunner().invoke(app, sys.argv[1:]).exit_code == 0"
    )
    modules = modules_after(program, "check", "examples/catalogs/hotel.yaml")
    assert not NOT_FOR_CHECK & modules
    assert "trackfarm.client" not in modules


def test_version_names_the_python_and_the_installed_parts() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert "trackfarm 0.1.0" in result.stdout
    assert f"Python 3.{sys.version_info.minor}" in result.stdout
    assert all(part in result.stdout for part in installed_parts())
