"""Every command of `trackfarm`, in the order of `--help`; a command is imported when it is called.

`--help` shows the help lines of this table, so it imports none of the commands.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command, or a group of commands.

    `target` is `module:attribute`. `help` is the first line of the command's own help. A command of
    an optional part is listed only where all modules of `needs` are installed; `extra` brings them.
    """

    name: str
    target: str
    help: str
    needs: tuple[str, ...] = ()
    extra: str = ""

    @property
    def is_installed(self) -> bool:
        return all(find_spec(module) is not None for module in self.needs)

    def load(self) -> Any:
        """Import the command and return it as the CLI library's command object."""
        module, _, attribute = self.target.partition(":")
        command: Callable[..., None] | typer.Typer = getattr(import_module(module), attribute)
        parent = typer.Typer()
        if isinstance(command, typer.Typer):
            parent.add_typer(command, name=self.name)
        else:
            parent.command(self.name)(command)
        return get_group(parent).commands[self.name]


_ROWS = (
    CommandSpec(
        "up",
        "trackfarm.cli.up:up",
        "Run a farm on this machine until Ctrl-C: broker, scheduler and workers.",
    ),
    CommandSpec(
        "run",
        "trackfarm_fleet.cli.run:run",
        "Rent machines, make a catalog's tracks on them, return them, and show the cost.",
        needs=("trackfarm_fleet",),
        extra="fleet",
    ),
    CommandSpec(
        "plan",
        "trackfarm.cli.plan:plan",
        "Estimate the cost and time of a catalog. Submits and rents nothing.",
    ),
    CommandSpec(
        "check",
        "trackfarm.cli.check:check",
        "Validate a catalog and report its size. Needs no farm.",
    ),
    CommandSpec(
        "submit",
        "trackfarm.cli.submit:submit",
        "Submit a catalog to the farm. Submitting it again reuses the tracks that exist already.",
    ),
    CommandSpec(
        "watch",
        "trackfarm.cli.watch:watch",
        "Follow a job until it ends. With --json: one object per line, whenever it changes.",
    ),
    CommandSpec("jobs", "trackfarm.cli.jobs:jobs", "List the jobs, newest first."),
    CommandSpec("show", "trackfarm.cli.jobs:show", "Show all details of one job."),
    CommandSpec(
        "export",
        "trackfarm.cli.export:export",
        "Download finished tracks into DIR, with manifest.csv, a playlist and listen.html.",
    ),
    CommandSpec(
        "pause",
        "trackfarm.cli.jobs:pause",
        "Pause a job: running tracks stop at their next step, finished tracks are kept.",
    ),
    CommandSpec(
        "resume",
        "trackfarm.cli.jobs:resume",
        "Resume a job that was paused or is out of budget.",
    ),
    CommandSpec("cancel", "trackfarm.cli.jobs:cancel", "Cancel a job; finished tracks are kept."),
    CommandSpec(
        "retry",
        "trackfarm.cli.jobs:retry",
        "Make the failed and cancelled tracks of a job again.",
    ),
    CommandSpec(
        "remove",
        "trackfarm.cli.jobs:remove",
        "Delete an ended job and its files permanently; files shared with other jobs are kept.",
    ),
    CommandSpec(
        "top",
        "trackfarm.cli.top:top",
        "Watch the farm: workers, jobs, tracks per hour, money, alerts. Ctrl-C ends it.",
    ),
    CommandSpec(
        "logs", "trackfarm.cli.logs:logs", "Print the events of a job, oldest first, one per line."
    ),
    CommandSpec(
        "workers",
        "trackfarm.cli.workers:workers",
        "List workers; invite machines to join; drain or remove a worker.",
    ),
    CommandSpec("keys", "trackfarm.cli.keys:keys", "Create, list and revoke API keys."),
    CommandSpec(
        "audit",
        "trackfarm.cli.keys:audit",
        "List changes and their authors, oldest first. With --json: one object per line.",
    ),
    CommandSpec(
        "fleet",
        "trackfarm_fleet.cli.fleet:fleet",
        "Rent machines and return them.",
        needs=("trackfarm_fleet",),
        extra="fleet",
    ),
    CommandSpec(
        "models",
        "trackfarm_worker.cli.models:models",
        "List the model sets, show the ones that the farm serves, pull one, or verify one.",
        needs=("trackfarm_worker", "huggingface_hub", "safetensors"),
        extra="worker",
    ),
    CommandSpec(
        "ca",
        "trackfarm_scheduler.auth.ca_command:ca",
        "Create certificates for a farm without public names.",
        needs=("trackfarm_scheduler", "cryptography"),
        extra="scheduler",
    ),
    CommandSpec(
        "simulate",
        "trackfarm_sim.command:simulate",
        "Simulate a farm on machines that are slow, late, preempted or broken.",
        needs=("trackfarm_sim", "numpy"),
        extra="sim",
    ),
)
COMMANDS = {row.name: row for row in _ROWS}


def installed_commands() -> Iterator[CommandSpec]:
    return (command for command in COMMANDS.values() if command.is_installed)


class CommandGroup(TyperGroup):
    """The `trackfarm` command: `commands` has help lines only, `resolve_command` loads one."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in installed_commands():
            self.add_command(TyperCommand(command.name, help=command.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        spec = COMMANDS.get(args[0])
        if spec is not None and not spec.is_installed:
            remedy = f"install it with: pip install 'trackfarm[{spec.extra}]'"
            ctx.fail(f"The command {spec.name!r} is not installed; {remedy}")
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else COMMANDS[name].load(), rest
