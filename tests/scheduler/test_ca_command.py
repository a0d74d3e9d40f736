"""`trackfarm ca create`: certificates that the strictest client accepts, keys for their owner."""

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
    made = tmp_path_factory.mktemp("made") / "tls"
    done = trackfarm_ca(str(made), "--host", "farm.example", "--host", "192.0.2.7")
    assert done.returncode == 0, done.stderr
    (made / "said").write_text(done.stdout)
    return made


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("host", ["farm.example", "192.0.2.7"])
def test_a_strict_client_accepts_each_server_by_each_host(
    folder: Path, name: str, host: str
) -> None:
    policy = PolicyBuilder().store(Store([certificate(folder, "ca")])).time(datetime.now(UTC))
    subject = (
        x509.DNSName(host) if host[0].isalpha() else x509.IPAddress(ipaddress.ip_address(host))
    )
    chain = policy.build_server_verifier(subject).verify(certificate(folder, name), [])
    assert len(chain) == 2


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.key")} == set(NAMES)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.glob("*.key"))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_says_which_setting_takes_which_file(folder: Path) -> None:
    said = (folder / "said").read_text()
    assert f"TRACKFARM_SCHEDULER_TLS_CERTIFICATE={folder}/scheduler.crt" in said
    assert f"TRACKFARM_SCHEDULER_CA_FILE={folder}/ca.crt" in said
    assert "rediss://:<password>@farm.example:6380/0?ssl_cert_reqs=required" in said


def test_nothing_is_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = trackfarm_ca(str(folder), "--host", "farm.example")
    assert done.returncode == 2
    assert f"{folder}/ca.crt exists" in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
