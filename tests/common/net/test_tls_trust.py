"""Trusted authorities of TLS connections."""

import ssl
from pathlib import Path

import pytest

from tests.servers.tls import certificates
from trackfarm.net.tls import check_server_certificate, tls_verify
from trackfarm.settings import ClientSettingsError


def test_tls_verify_trusts_an_own_authority_beside_the_public_ones(tmp_path: Path) -> None:
    files = certificates(tmp_path / "tls")
    alone, public = (tls_verify(path, setting="CA") for path in (files.authority, None))
    assert public is True
    assert isinstance(alone, ssl.SSLContext)
    assert alone.verify_mode is ssl.CERT_REQUIRED
    assert alone.check_hostname
    subjects = [ca["subject"] for ca in alone.get_ca_certs()]
    assert ((("commonName", "an authority of the tests"),),) in subjects
    assert len(subjects) > 20


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_tls_verify_names_a_file_that_is_no_certificate(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClientSettingsError, match=f"THE_CA_FILE={path}"):
        tls_verify(path, setting="THE_CA_FILE")


def test_check_server_certificate_needs_its_own_key(tmp_path: Path) -> None:
    first, second = certificates(tmp_path / "one"), certificates(tmp_path / "other")
    check_server_certificate(first.certificate, first.key, settings="TLS")
    for certificate, key in (
        (first.certificate, second.key),
        (first.certificate, tmp_path / "nothing"),
        (first.key, first.key),
    ):
        with pytest.raises(ClientSettingsError, match="TLS: "):
            check_server_certificate(certificate, key, settings="TLS")
