"""Private certificate authority: one key that signs certificates for the farm's servers only.

The fields follow RFC 5280 and the baseline requirements of the CA/Browser Forum as far as clients
check them: an authority limited to server certificates, and certificates that name hosts in
`subjectAltName`.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = timedelta(hours=1)  # tolerates wrong clocks on rented machines
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """Certificate and key as PEM text."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """Certificate authority that signs with an ECDSA P-256 key."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def create(cls, name: str, *, now: datetime, lifetime: timedelta) -> "Authority":
        key = _new_key()
        subject = _named(name)
        builder = (
            _certificate(subject, subject, key, now, lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    def pem(self) -> Credential:
        return _pem(self.certificate, self.key)

    def server(
        self, name: str, hosts: Sequence[str], *, now: datetime, lifetime: timedelta
    ) -> Credential:
        """Return a certificate with its own key for a server reachable at `hosts` (names or IP
        addresses)."""
        key = _new_key()
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        server_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            _certificate(_named(name), self.certificate.subject, key, now, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(server_only, critical=False)
            .add_extension(names, critical=False)
            .add_extension(issuer_key, critical=False)
        )
        return _pem(builder.sign(self.key, hashes.SHA256()), key)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate, key: Key) -> Credential:
    return Credential(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
