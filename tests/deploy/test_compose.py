"""The compose file, the front door and the scripts, checked by the tools that read them."""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.composed import compose_output, composed, read, set_up
from tests.deploy.tools import DEPLOY, ROOT, program, scripts
from tests.servers.process import run
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.settings_check import faults

SECRETS = re.compile(r"_(PASSWORD|KEY|SECRET)$")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return set_up(tmp_path_factory.mktemp("farm"), "farm.example")


@pytest.fixture(scope="module")
def farm(settings: Path) -> dict[str, Any]:
    return composed(settings)


def test_compose_file_is_valid_and_needs_each_secret(settings: Path, farm: dict[str, Any]) -> None:
    assert len(farm["services"]) == 9
    named = [name for name in read(settings) if SECRETS.search(name)]
    assert len(named) == 8
    for name in [*named, "FARM_HOST", "FARM_FOLDER", "FARM_UID"]:
        assert name in compose_output(settings, **{name: ""}).stderr


def test_example_settings_have_no_secret(settings: Path) -> None:
    example = read(DEPLOY / "env.example")
    assert list(example) == list(read(settings))
    assert {value for name, value in example.items() if SECRETS.search(name)} == {""}


def test_compose_file_publishes_only_the_front_door(farm: dict[str, Any]) -> None:
    services = farm["services"]
    assert {name for name, each in services.items() if "ports" in each} == {"front"}
    inside = {name for name, net in farm["networks"].items() if net.get("internal")}
    for name, each in services.items():
        outside = set(each["networks"]) - inside
        assert outside == ({"outside"} if name in ("front", "fleet") else set())
    public = {port["target"] for port in services["front"]["ports"] if "host_ip" not in port}
    assert public == {8443, 9443, 6380}


def test_compose_services_have_the_least_privileges(farm: dict[str, Any]) -> None:
    for name, each in farm["services"].items():
        assert each["read_only"], name
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert not each["user"].startswith("0:")
        limits = each["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert re.search(r":v?\d+\.\d+\.\d+|:18\.6", each["image"]), "pinned by version"
        assert "healthcheck" in each


def test_compose_services_have_only_their_own_secrets(settings: Path, farm: dict[str, Any]) -> None:
    """Search by value, anywhere in a service."""
    holders = {
        name: {n for n, each in farm["services"].items() if value in str(each)}
        for name, value in read(settings).items()
        if SECRETS.search(name)
    }
    assert holders == {
        "FARM_API_KEY": {"scheduler"},
        "FARM_SIGNING_SECRET": {"scheduler"},
        "DATABASE_PASSWORD": {"scheduler", "postgres"},
        "BROKER_PASSWORD": {"scheduler"},
        "FLOWER_PASSWORD": {"flower"},
        "STORE_ACCESS_KEY": {"scheduler", "objects"},
        "STORE_SECRET_KEY": {"scheduler", "objects"},
        "GRAFANA_PASSWORD": {"grafana"},
    }


def test_scheduler_accepts_its_settings_without_exceptions(
    farm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in farm["services"]["scheduler"]["environment"].items():
        monkeypatch.setenv(name, value)
    loaded = SchedulerSettings()
    assert not loaded.insecure
    assert faults(loaded) == []


def test_setup_files_are_readable_only_by_their_owner(settings: Path) -> None:
    folder = Path(read(settings)["FARM_FOLDER"])
    written = [settings, *folder.rglob("*")]
    assert len(written) > 15
    assert not [p for p in written if stat.S_IMODE(p.stat().st_mode) & 0o077 and not p.is_symlink()]
    if os.geteuid() == 0:
        assert {p.stat().st_uid for p in (folder / "tls").iterdir()} == {10_001}


def test_setup_overwrites_nothing(settings: Path) -> None:
    before = settings.read_bytes()
    env = {**os.environ, "FARM_SETTINGS": str(settings), "TRACKFARM": "false"}
    again = subprocess.run(
        [DEPLOY / "setup", "farm.example", settings.parent / "other"],
        env=env,
        capture_output=True,
        check=False,
    )
    assert again.returncode == 2
    assert settings.read_bytes() == before


def test_haproxy_accepts_the_front_door(settings: Path, tmp_path: Path) -> None:
    tls = Path(read(settings)["FARM_FOLDER"]) / "tls"
    for name in ("ca.crt", "front.crt"):
        (tmp_path / name).write_bytes((tls / name).read_bytes())
    (tmp_path / "front.crt.key").write_bytes((tls / "front.key").read_bytes())
    door = tmp_path / "haproxy.cfg"
    config = (DEPLOY / "configs" / "haproxy.cfg").read_text()
    door.write_text(config.replace("/run/secrets", str(tmp_path)))
    run([program("haproxy"), "-c", "-f", door])


@pytest.mark.parametrize("path", scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_script_passes_shellcheck(path: Path) -> None:
    assert os.access(path, os.X_OK)
    run([program("shellcheck"), path])


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_dockerfile_passes_hadolint(name: str) -> None:
    run([program("hadolint"), ROOT / "docker" / f"{name}.Dockerfile"])
