"""`trackfarm ca create`: certificates accepted by the strictest client, keys readable by their
owner only."""

import ipaddress
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

NAMES = ["ca", "broker", "database", "front", "scheduler", "store"]


def trackfarm_ca(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trackfarm.cli", "ca", "create", *arguments]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "tls"
    completed = trackfarm_ca(str(directory), "--host", "farm.example", "--host", "192.0.2.7")
    assert completed.returncode == 0, completed.stderr
    (directory / "said").write_text(completed.stdout)
    return directory


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("host", ["farm.example", "192.0.2.7"])
def test_ca_create_certifies_each_server_for_each_host(folder: Path, name: str, host: str) -> None:
    policy = PolicyBuilder().store(Store([certificate(folder, "ca")])).time(datetime.now(UTC))
    subject = (
        x509.DNSName(host) if host[0].isalpha() else x509.IPAddress(ipaddress.ip_address(host))
    )
    chain = policy.build_server_verifier(subject).verify(certificate(folder, name), [])
    assert len(chain) == 2


def test_ca_create_makes_keys_private(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.key")} == set(NAMES)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.glob("*.key"))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_ca_create_explains_which_setting_takes_which_file(folder: Path) -> None:
    output = (folder / "said").read_text()
    assert f"TRACKFARM_SCHEDULER_TLS_CERTIFICATE={folder}/scheduler.crt" in output
    assert f"TRACKFARM_SCHEDULER_CA_FILE={folder}/ca.crt" in output
    assert "rediss://:<password>@farm.example:6380/0?ssl_cert_reqs=required" in output


def test_ca_create_overwrites_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    completed = trackfarm_ca(str(folder), "--host", "farm.example")
    assert completed.returncode == 2
    assert f"{folder}/ca.crt exists" in completed.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
