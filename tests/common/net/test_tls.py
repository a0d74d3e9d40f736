"""The farm's certificate authority reaches a machine intact, and nothing else does."""

import ssl
from pathlib import Path

import pytest

from tests.servers.tls import Certificates, certificates
from trackfarm.net.tls import MOST_BYTES, PIECE, PREFIX, pack_ca, unpack_ca
from trackfarm.settings import ClientSettingsError

SETTING = "TRACKFARM_FLEET_CA_FILE"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates") / "of the farm")


def test_pack_ca_round_trip_keeps_only_the_certificates(
    files: Certificates, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    pem = files.authority.read_text() + files.certificate.read_text()
    bundle.write_text("# of the hotel\n" + pem)
    variables = pack_ca(bundle, setting=SETTING)
    assert all(len(name) <= PIECE and len(value) <= PIECE for name, value in variables.items())
    assert unpack_ca(dict(reversed(variables.items()))) == pem
    context = ssl.create_default_context(
        cadata=unpack_ca(pack_ca(files.authority, setting=SETTING))
    )
    assert len(context.get_ca_certs()) == 1


def test_unpack_ca_without_variables_is_empty() -> None:
    assert unpack_ca({"PATH": "/bin", f"{PREFIX}1": ""}) == ""


def test_unpack_ca_refuses_damaged_variables(files: Certificates) -> None:
    variables = pack_ca(files.authority, setting=SETTING)
    for damaged in (
        {f"{PREFIX}1": variables[f"{PREFIX}1"]},
        variables | {f"{PREFIX}2": "no base64!"},
    ):
        with pytest.raises(ClientSettingsError, match=PREFIX):
            unpack_ca(damaged)


def test_pack_ca_refuses_a_private_key(files: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(files.authority.read_text() + files.key.read_text())
    with pytest.raises(ClientSettingsError, match="private key") as refused:
        pack_ca(path, setting=SETTING)
    assert SETTING in str(refused.value)


def test_pack_ca_refuses_other_files_and_too_many_certificates(
    files: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    pem = files.authority.read_text()
    for text, message in (
        ("", "no readable PEM certificate"),
        (pem * (MOST_BYTES // len(pem) + 1), "16384"),
    ):
        path.write_text(text)
        with pytest.raises(ClientSettingsError, match=message):
            pack_ca(path, setting=SETTING)
    with pytest.raises(ClientSettingsError, match="cannot be read"):
        pack_ca(tmp_path / "nowhere", setting=SETTING)
