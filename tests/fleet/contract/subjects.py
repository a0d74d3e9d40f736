"""Every provider, set up for the contract suite, with a view of the machines that really exist."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from tests.fleet.fakes import runpod as fake_runpod
from tests.fleet.fakes import vast as fake_vast
from tests.fleet.fakes.account import Account
from tests.servers.process import wait_until
from tests.servers.scripted_http import scripted_server
from trackfarm_fleet.providers.base import (
    MachineOffer,
    OfferQuery,
    Provider,
    ProviderError,
    RentalRequest,
)
from trackfarm_fleet.providers.local import LocalProvider, Slot
from trackfarm_fleet.providers.manual import Host, ManualProvider
from trackfarm_fleet.providers.runpod import RunPodProvider
from trackfarm_fleet.providers.vast import VastProvider
from trackfarm_fleet.providers.worker_env import TAG_VARIABLE, WorkerInvitation
from trackfarm_fleet.rentals.tags import Tags

TOKEN = "join-token-that-nobody-may-see"
# Separates these tests from tests that run at the same time and from an operator's own workers.
TAGS = Tags(f"hotel{os.getpid()}")
OTHER_TAGS = Tags(f"spa{os.getpid()}")


@dataclass(frozen=True)
class Subject:
    """A provider under test. `reopened` is the same account seen by a restarted fleet, with any
    prefix; `alive` returns the environments of the existing machines; `boot` starts new machines,
    `settle` completes requested ends. Only network providers have an `account`, and one with a
    `wrong_key`."""

    provider: Provider
    reopened: Callable[[str], Provider]
    alive: Callable[[], list[Mapping[str, str]]]
    boot: Callable[[], None]
    settle: Callable[[], None]
    unknown_id: str
    account: Account | None = None
    wrong_key: Callable[[], Provider] | None = None

    def offer(self) -> MachineOffer:
        offers = self.provider.offers(OfferQuery())
        assert not isinstance(offers, ProviderError)
        return offers[0]

    def request(self, tag: str) -> RentalRequest:
        return request(self.offer(), tag)


def request(offer: MachineOffer, tag: str) -> RentalRequest:
    invitation = WorkerInvitation("https://farm.example", SecretStr(TOKEN), "acestep-v15-turbo")
    return RentalRequest(
        tag=tag,
        offer=offer,
        image="registry.example/trackfarm-worker:1",
        env=invitation.env(tag=tag, provider=offer.provider, price_per_hour=offer.price_per_hour),
        secrets=invitation.secrets(),
    )


@contextmanager
def runpod_subject() -> Iterator[Subject]:
    account = Account()
    with scripted_server(fake_runpod.FakeRunPod(account).reply) as server, _opened() as keep:

        def reopened(prefix: str, key: str = fake_runpod.KEY) -> Provider:
            return keep(
                RunPodProvider(
                    SecretStr(key),
                    prefix=prefix,
                    url=server.url,
                    now=account.clock,
                    sleep=account.sleep,
                )
            )

        yield _over_network(account, reopened)


@contextmanager
def vast_subject() -> Iterator[Subject]:
    account = Account()
    with scripted_server(fake_vast.FakeVast(account).reply) as server, _opened() as keep:

        def reopened(prefix: str, key: str = fake_vast.KEY) -> Provider:
            account.clock.advance(60)  # another process does not share the rate limit of the first
            return keep(
                VastProvider(
                    SecretStr(key),
                    prefix=prefix,
                    url=server.url,
                    now=account.clock,
                    sleep=account.sleep,
                )
            )

        yield _over_network(account, reopened)


@contextmanager
def local_subject(folder: Path) -> Iterator[Subject]:
    def reopened(prefix: str) -> LocalProvider:
        return LocalProvider(
            [Slot("gpu0", "RTX 4090", 24_564, 0, 0.2), Slot("gpu1", "RTX 3090", 24_576, 1, 0.1)],
            prefix=prefix,
            folder=folder,
            command=["sh", "-c", "exec sleep 600"],
            grace_seconds=0.0,
        )

    def alive() -> list[Mapping[str, str]]:
        return [env for _, env in tagged_processes()]

    provider = reopened(TAGS.prefix)
    before = len(alive())
    try:
        yield Subject(
            provider=provider,
            reopened=reopened,
            alive=alive,
            boot=lambda: None,
            settle=lambda: wait_until(
                lambda: provider.instances() == [], timeout_s=10, what="all workers have ended"
            ),
            unknown_id=TAGS.new(),
        )
    finally:
        processes = [process for process, _ in tagged_processes()]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)
        assert before == 0, "a worker of an earlier test is still running"


@contextmanager
def by_hand_subject(folder: Path) -> Iterator[Subject]:
    hosts = [Host("studio", "RTX 4090", 24_564, price_per_hour=0.1)]
    yield _manual(hosts, folder, lambda: [{} for _ in folder.glob("*.json")])


@contextmanager
def ssh_subject(folder: Path) -> Iterator[Subject]:
    """A provider over a shell with a fake `docker` that keeps containers as files."""
    containers = folder / "containers"
    containers.mkdir()
    program = folder / "docker"
    program.write_text(_DOCKER.replace("@FOLDER@", str(containers)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    reach = ("env", f"PATH={folder}:{os.environ['PATH']}", "sh", "-c")

    def alive() -> list[Mapping[str, str]]:
        return [
            dict(line.split("=", 1) for line in path.read_text().splitlines())
            for path in containers.iterdir()
        ]

    hosts = [Host("studio", "RTX 4090", 24_564, price_per_hour=0.1, reach=reach)]
    yield _manual(hosts, folder, alive)


def tagged_processes() -> list[tuple[psutil.Process, Mapping[str, str]]]:
    """Return every process of this machine with a tag of these tests, regardless of its parent."""
    processes: list[tuple[psutil.Process, Mapping[str, str]]] = []
    for process in psutil.process_iter():
        try:
            env = process.environ()
        except (psutil.Error, OSError):
            continue
        if env.get(TAG_VARIABLE, "").startswith((TAGS.prefix, OTHER_TAGS.prefix)):
            processes.append((process, env))
    return processes


def _manual(
    hosts: list[Host], folder: Path, alive: Callable[[], list[Mapping[str, str]]]
) -> Subject:
    def reopened(prefix: str) -> ManualProvider:
        return ManualProvider(hosts, prefix=prefix, folder=folder, show=lambda _: None)

    return Subject(
        provider=reopened(TAGS.prefix),
        reopened=reopened,
        alive=alive,
        boot=lambda: None,
        settle=lambda: None,
        unknown_id=f"studio/{TAGS.new()}",
    )


def _over_network(account: Account, reopened: Callable[..., Provider]) -> Subject:
    return Subject(
        provider=reopened(TAGS.prefix),
        reopened=reopened,
        alive=lambda: [machine.env for machine in account.running()],
        boot=lambda: account.clock.advance(account.boot_seconds),
        settle=lambda: account.clock.advance(account.linger_seconds),
        unknown_id="99",
        account=account,
        wrong_key=lambda: reopened(TAGS.prefix, "a-wrong-key-0123456789"),
    )


@contextmanager
def _opened() -> Iterator[Callable[..., RunPodProvider | VastProvider]]:
    """Yield the resource, and close it at the end."""
    opened: list[RunPodProvider | VastProvider] = []

    def keep(provider: RunPodProvider | VastProvider) -> RunPodProvider | VastProvider:
        opened.append(provider)
        return provider

    try:
        yield keep
    finally:
        for provider in opened:
            provider.close()


_DOCKER = """#!/bin/sh
command=$1
shift
case $command in
run)
    while [ $# -gt 1 ]; do
        case $1 in
        --name) name=$2; shift ;;
        --env-file) file=$2; shift ;;
        esac
        shift
    done
    cat "$file" > "@FOLDER@/$name" ;;
ps)
    for file in "@FOLDER@"/*; do
        [ -e "$file" ] && echo "{\\"Names\\":\\"${file##*/}\\",\\"State\\":\\"running\\"}"
    done
    true ;;
stop) true ;;
rm)
    [ -e "@FOLDER@/$2" ] || { echo "Error: No such container: $2" >&2; exit 1; }
    rm "@FOLDER@/$2" ;;
esac
"""
