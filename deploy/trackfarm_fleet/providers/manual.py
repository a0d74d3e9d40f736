"""Provider of the operator's own machines. The command to start a worker is run over ssh, or shown
to the operator to run by hand.

A command that was only shown is noted in a file per tag, and counts as a running machine until its
end is requested: its real state cannot be observed.
"""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from trackfarm.atomic_file import write_private
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    NoCapacity,
    OfferQuery,
    ProviderError,
    RentalRequest,
    Unavailable,
)
from trackfarm_fleet.providers.http import create_once

COMMAND_S = 60.0
_STOP_S = 10
_STATES = {
    "created": InstanceState.STARTING,
    "restarting": InstanceState.STARTING,
    "running": InstanceState.RUNNING,
    "exited": InstanceState.BROKEN,
    "dead": InstanceState.BROKEN,
}


@dataclass(frozen=True, slots=True)
class Host:
    """A machine of the operator. `reach` is the command that runs a command line there, such as
    `("ssh", "studio")`; empty: the operator runs it. `memory_mib` of one GPU, $ an hour."""

    name: str
    gpu: str
    memory_mib: int
    gpus: int = 1
    price_per_hour: float = 0.0
    reach: tuple[str, ...] = ()


class _Container(BaseModel):
    """A line of `docker ps --format '{{json .}}'`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    Names: str
    State: str


class ManualProvider:
    """Runs workers on the operator's machines. `folder` has the notes about commands shown with
    `show`, `prefix` is that of our tags."""

    name = "manual"

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        prefix: str,
        folder: Path,
        show: Callable[[str], None] = print,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._prefix = prefix
        self._folder = folder
        self._show = show
        self._now = now

    def offers(self, query: OfferQuery) -> Sequence[MachineOffer] | ProviderError:
        listed = self.instances()
        if isinstance(listed, ProviderError):
            return listed
        used_hosts = {instance.host for instance in listed}
        free = [_offer(host) for host in self._hosts.values() if host.name not in used_hosts]
        return sorted((o for o in free if o.matches(query)), key=lambda o: o.price_per_hour)

    def create(self, request: RentalRequest) -> Instance | ProviderError:
        if request.bid is not None:
            return BadRequest("your own machines take no bids")
        return create_once(request.tag, attempt=lambda: self._join(request), listing=self.instances)

    def instances(self) -> Sequence[Instance] | ProviderError:
        machines = list(self._noted_machines())
        for host in self._hosts.values():
            if host.reach:
                listed = self._containers(host)
                if isinstance(listed, ProviderError):
                    return listed
                machines += listed
        return machines

    def terminate(self, instance_id: str) -> ProviderError | None:
        host_name, _, tag = instance_id.partition("/")
        host = self._hosts.get(host_name)
        if host is None or not self._is_ours(tag):
            return BadRequest(f"{instance_id!r} is not a machine of this farm")
        command = f"docker stop --time {_STOP_S} {tag}; docker rm --force {tag}"
        if not host.reach:
            if self._note(tag).exists():
                self._show(f"on {host.name}: {command}")
            self._note(tag).unlink(missing_ok=True)
            return None
        output = _run(host, command)
        if isinstance(output, Unavailable) and "No such container" in output.detail:
            return None
        return output if isinstance(output, ProviderError) else None

    def _join(self, request: RentalRequest) -> Instance | ProviderError:
        host = self._hosts.get(request.offer.id)
        if host is None:
            return BadRequest(f"no host is named {request.offer.id!r}")
        listed = self.instances()
        if isinstance(listed, ProviderError):
            return listed
        if any(instance.host == host.name for instance in listed):
            return NoCapacity(f"{host.name} is already in use")
        if not self._is_ours(request.tag):
            return BadRequest(f"{request.tag!r} is not a tag of this farm")
        env = request.environment()
        if any("\n" in value for value in env.values()):
            return BadRequest("a setting has more than one line")
        return self._run_join(host, request) if host.reach else self._show_join(host, request)

    def _run_join(self, host: Host, request: RentalRequest) -> Instance | ProviderError:
        """Run the start command on the host. The settings go through standard input, so that no
        process list shows them."""
        image = shlex.join((request.image, *request.command))
        lines = "".join(f"{name}={value}\n" for name, value in request.environment().items())
        output = _run(host, f"{_join_command(request)} --env-file /dev/stdin {image}", lines)
        return (
            output if isinstance(output, ProviderError) else _instance(host, request.tag, "created")
        )

    def _show_join(self, host: Host, request: RentalRequest) -> Instance:
        self._folder.mkdir(parents=True, exist_ok=True)
        note = {"host": host.name, "created_at": self._now()}
        write_private(self._note(request.tag), json.dumps(note))
        image = shlex.join((request.image, *request.command))
        env = " ".join(f"--env {shlex.quote(f'{k}={v}')}" for k, v in request.environment().items())
        self._show(f"on {host.name}: {_join_command(request)} {env} {image}")
        return _instance(host, request.tag, "running", self._now())

    def _noted_machines(self) -> Iterator[Instance]:
        for path in sorted(self._folder.glob(f"{self._prefix}*.json")):
            note = json.loads(path.read_text())
            if host := self._hosts.get(note["host"]):
                yield _instance(host, path.stem, "running", note["created_at"])

    def _is_ours(self, tag: str) -> bool:
        """Return True for a tag of ours. Other names could be more than a name to the shell that
        reads them."""
        return re.fullmatch(re.escape(self._prefix) + "[0-9a-z]+", tag) is not None

    def _note(self, tag: str) -> Path:
        return self._folder / f"{tag}.json"

    def _containers(self, host: Host) -> Sequence[Instance] | ProviderError:
        listing = f"docker ps --all --filter name={self._prefix} --format '{{{{json .}}}}'"
        output = _run(host, listing)
        if isinstance(output, ProviderError):
            return output
        try:
            rows = [_Container.model_validate_json(line) for line in output.splitlines() if line]
        except ValueError:
            return Unavailable(f"{host.name}: unexpected output of `docker ps`")
        ours = [row for row in rows if row.Names.startswith(self._prefix)]
        return [_instance(host, row.Names, row.State) for row in ours]


def _run(host: Host, command: str, stdin: str = "") -> str | ProviderError:
    """Return the output of the command. Errors never contain its standard input."""
    try:
        result = subprocess.run(
            [*host.reach, command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
    except FileNotFoundError:
        return BadRequest(f"the program {host.reach[0]!r} to reach {host.name} was not found")
    except subprocess.TimeoutExpired:
        return Unavailable(f"{host.name} did not answer within {COMMAND_S:g} s")
    if result.returncode:
        return Unavailable(f"{host.name}: exit {result.returncode}: {result.stderr.strip()[-300:]}")
    return result.stdout


def _join_command(request: RentalRequest) -> str:
    return shlex.join(["docker", "run", "--detach", "--name", request.tag, "--gpus", "all"])


def _offer(host: Host) -> MachineOffer:
    return MachineOffer(
        provider=ManualProvider.name,
        id=host.name,
        gpu=host.gpu,
        gpus=host.gpus,
        memory_mib=host.memory_mib,
        price_per_hour=host.price_per_hour,
        region="own",
        host=host.name,
    )


def _instance(host: Host, tag: str, state: str, created_at: float | None = None) -> Instance:
    return Instance(
        provider=ManualProvider.name,
        id=f"{host.name}/{tag}",
        tag=tag,
        state=_STATES.get(state, InstanceState.STARTING),
        gpu=host.gpu,
        gpus=host.gpus,
        price_per_hour=host.price_per_hour,
        region="own",
        host=host.name,
        created_at=created_at,
        detail=state,
    )
