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


def test_the_operator_is_shown_one_command_to_join_and_one_to_end(tmp_path: Path) -> None:
    shown: list[str] = []
    provider = _provider(tmp_path, STUDIO, shown=shown)
    wish = request(_offer(provider), TAGS.new())
    created = provider.create(wish)
    assert isinstance(created, Instance)
    (join,) = shown
    assert join.startswith(f"on studio: docker run --detach --name {wish.tag} --gpus all")
    assert f"TRACKFARM_WORKER_JOIN_TOKEN={TOKEN}" in join
    assert join.endswith(f" {wish.image}")
    assert provider.terminate(created.id) is None
    assert shown[1:] == [
        f"on studio: docker stop --time 10 {wish.tag}; docker rm --force {wish.tag}"
    ]


def test_a_stock_image_is_told_what_to_run(tmp_path: Path) -> None:
    shown: list[str] = []
    provider = _provider(tmp_path, STUDIO, shown=shown)
    wish = replace(request(_offer(provider), TAGS.new()), command=("bash", "-c", "a; b"))
    assert isinstance(provider.create(wish), Instance)
    assert shown[0].endswith(f" {wish.image} bash -c 'a; b'")


def test_the_note_of_a_machine_has_no_secret(tmp_path: Path) -> None:
    provider = _provider(tmp_path, STUDIO)
    provider.create(request(_offer(provider), TAGS.new()))
    (note,) = tmp_path.glob("*.json")
    assert TOKEN not in note.read_text()
    assert note.stat().st_mode & 0o777 == 0o600


def test_a_host_takes_one_worker_container(tmp_path: Path) -> None:
    provider = _provider(tmp_path, STUDIO)
    offer = _offer(provider)
    provider.create(request(offer, TAGS.new()))
    assert provider.offers(OfferQuery()) == []
    assert isinstance(provider.create(request(offer, TAGS.new())), NoCapacity)


def test_a_host_that_cannot_be_reached_makes_the_list_unavailable(tmp_path: Path) -> None:
    """A list without the host would look as if its machine had ended."""
    away = replace(STUDIO, reach=("sh", "-c", "echo no route >&2; exit 255", "--"))
    provider = _provider(tmp_path, away)
    answer = provider.instances()
    assert isinstance(answer, Unavailable)
    assert "no route" in answer.detail
    assert isinstance(provider.terminate(f"studio/{TAGS.new()}"), Unavailable)


@pytest.mark.parametrize("name", ["studio/x", "studio/PREFIXa; rm -rf x", "attic/x", "x", ""])
def test_what_is_not_a_tag_of_ours_never_reaches_a_shell(tmp_path: Path, name: str) -> None:
    log = tmp_path / "said"
    provider = _provider(tmp_path, replace(STUDIO, reach=("sh", "-c", f"echo $0 >> {log}")))
    assert isinstance(provider.terminate(name.replace("PREFIX", TAGS.prefix)), BadRequest)
    assert not log.exists()


def test_a_shell_that_does_not_exist_is_our_fault(tmp_path: Path) -> None:
    provider = _provider(tmp_path, replace(STUDIO, reach=("no-such-ssh",)))
    assert isinstance(provider.instances(), BadRequest)


def test_secrets_go_through_the_standard_input_only(tmp_path: Path) -> None:
    """Every user of the host can read command lines."""
    log = tmp_path / "said"
    script = f'printf "%s\\n" "$0" >> {log}; case "$0" in *" run "*) cat > {log}.stdin;; esac'
    provider = _provider(tmp_path, replace(STUDIO, reach=("sh", "-c", script)))
    assert isinstance(provider.create(request(_offer(provider), TAGS.new())), Instance)
    assert TOKEN not in log.read_text()
    assert f"TRACKFARM_WORKER_JOIN_TOKEN={TOKEN}\n" in (tmp_path / "said.stdin").read_text()


@pytest.mark.parametrize("value", ["two\nlines", "\n"])
def test_a_setting_of_several_lines_is_refused(tmp_path: Path, value: str) -> None:
    provider = _provider(tmp_path, STUDIO)
    wish = replace(request(_offer(provider), TAGS.new()), env={"A": value})
    assert isinstance(provider.create(wish), BadRequest)
    assert provider.instances() == []
