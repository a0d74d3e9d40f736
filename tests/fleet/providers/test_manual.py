"""The operator's own machines: commands shown to the operator, and commands run over a shell."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet.contract.subjects import TAGS, TOKEN, request
from trackfarm_fleet.providers.base import (
    BadRequest,
    Instance,
    MachineOffer,
    NoCapacity,
    OfferQuery,
    ProviderError,
    Unavailable,
)
from trackfarm_fleet.providers.manual import Host, ManualProvider

STUDIO = Host("studio", "RTX 4090", 24_564)


def _provider(folder: Path, *hosts: Host, shown: list[str] | None = None) -> ManualProvider:
    lines: list[str] = [] if shown is None else shown
    return ManualProvider(hosts, prefix=TAGS.prefix, folder=folder, show=lines.append)


def _offer(provider: ManualProvider) -> MachineOffer:
    offers = provider.offers(OfferQuery())
    assert not isinstance(offers, ProviderError)
    return offers[0]


def test_create_and_terminate_show_one_command_each(tmp_path: Path) -> None:
    shown: list[str] = []
    provider = _provider(tmp_path, STUDIO, shown=shown)
    rental_request = request(_offer(provider), TAGS.new())
    created = provider.create(rental_request)
    assert isinstance(created, Instance)
    (join,) = shown
    assert join.startswith(f"on studio: docker run --detach --name {rental_request.tag} --gpus all")
    assert f"TRACKFARM_WORKER_JOIN_TOKEN={TOKEN}" in join
    assert join.endswith(f" {rental_request.image}")
    assert provider.terminate(created.id) is None
    assert shown[1:] == [
        f"on studio: docker stop --time 10 {rental_request.tag}; docker rm --force {rental_request.tag}"
    ]


def test_create_with_a_start_command_shows_it_after_the_image(tmp_path: Path) -> None:
    shown: list[str] = []
    provider = _provider(tmp_path, STUDIO, shown=shown)
    rental_request = replace(request(_offer(provider), TAGS.new()), command=("bash", "-c", "a; b"))
    assert isinstance(provider.create(rental_request), Instance)
    assert shown[0].endswith(f" {rental_request.image} bash -c 'a; b'")


def test_note_of_a_machine_has_no_secret(tmp_path: Path) -> None:
    provider = _provider(tmp_path, STUDIO)
    provider.create(request(_offer(provider), TAGS.new()))
    (note,) = tmp_path.glob("*.json")
    assert TOKEN not in note.read_text()
    assert note.stat().st_mode & 0o777 == 0o600


def test_host_runs_one_worker_container(tmp_path: Path) -> None:
    provider = _provider(tmp_path, STUDIO)
    offer = _offer(provider)
    provider.create(request(offer, TAGS.new()))
    assert provider.offers(OfferQuery()) == []
    assert isinstance(provider.create(request(offer, TAGS.new())), NoCapacity)


def test_instances_are_unavailable_if_a_host_is_unreachable(tmp_path: Path) -> None:
    """A list without the host would look as if its machine had ended."""
    away = replace(STUDIO, reach=("sh", "-c", "echo no route >&2; exit 255", "--"))
    provider = _provider(tmp_path, away)
    answer = provider.instances()
    assert isinstance(answer, Unavailable)
    assert "no route" in answer.detail
    assert isinstance(provider.terminate(f"studio/{TAGS.new()}"), Unavailable)


@pytest.mark.parametrize("name", ["studio/x", "studio/PREFIXa; rm -rf x", "attic/x", "x", ""])
def test_terminate_passes_only_our_tags_to_a_shell(tmp_path: Path, name: str) -> None:
    log = tmp_path / "said"
    provider = _provider(tmp_path, replace(STUDIO, reach=("sh", "-c", f"echo $0 >> {log}")))
    assert isinstance(provider.terminate(name.replace("PREFIX", TAGS.prefix)), BadRequest)
    assert not log.exists()


def test_instances_with_an_unknown_reach_program_are_a_bad_request(tmp_path: Path) -> None:
    provider = _provider(tmp_path, replace(STUDIO, reach=("no-such-ssh",)))
    assert isinstance(provider.instances(), BadRequest)


def test_create_passes_secrets_through_standard_input_only(tmp_path: Path) -> None:
    """Every user of the host can read command lines."""
    log = tmp_path / "said"
    script = f'printf "%s\\n" "$0" >> {log}; case "$0" in *" run "*) cat > {log}.stdin;; esac'
    provider = _provider(tmp_path, replace(STUDIO, reach=("sh", "-c", script)))
    assert isinstance(provider.create(request(_offer(provider), TAGS.new())), Instance)
    assert TOKEN not in log.read_text()
    assert f"TRACKFARM_WORKER_JOIN_TOKEN={TOKEN}\n" in (tmp_path / "said.stdin").read_text()


@pytest.mark.parametrize("value", ["two\nlines", "\n"])
def test_create_with_a_multiline_setting_is_a_bad_request(tmp_path: Path, value: str) -> None:
    provider = _provider(tmp_path, STUDIO)
    rental_request = replace(request(_offer(provider), TAGS.new()), env={"A": value})
    assert isinstance(provider.create(rental_request), BadRequest)
    assert provider.instances() == []
