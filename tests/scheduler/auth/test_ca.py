"""Certificate authority: its certificates verify for the named hosts only, and sign no others."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from trackfarm_scheduler.auth.ca import BACKDATED, Authority, Credential

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("test CA", now=NOW, lifetime=YEAR)


def server(authority: Authority, *hosts: str) -> Credential:
    return authority.server("server", hosts, now=NOW, lifetime=YEAR)


def is_trusted(
    authority: Authority, credential: Credential, host: str, *, at: datetime = NOW
) -> bool:
    store = Store([authority.certificate])
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(host))
    try:
        verifier.verify(x509.load_pem_x509_certificate(credential.certificate), [])
    except VerificationError:
        return False
    return True


def test_server_certificate_verifies_for_its_hosts_only(authority: Authority) -> None:
    credential = server(authority, "farm.example", "10.0.0.7", "::1")
    assert is_trusted(authority, credential, "farm.example")
    assert not is_trusted(authority, credential, "other.example")
    certificate = x509.load_pem_x509_certificate(credential.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]


def test_server_certificate_of_another_authority_is_not_trusted(authority: Authority) -> None:
    other = Authority.create("test CA", now=NOW, lifetime=YEAR)
    assert not is_trusted(authority, server(other, "farm.example"), "farm.example")


def test_server_certificate_tolerates_a_slow_clock_and_expires(authority: Authority) -> None:
    credential = server(authority, "farm.example")
    assert is_trusted(authority, credential, "farm.example", at=NOW - BACKDATED)
    assert not is_trusted(authority, credential, "farm.example", at=NOW + 2 * YEAR)


def test_server_certificate_cannot_sign(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(server(authority, "farm.example").certificate)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign) == (False, False)
