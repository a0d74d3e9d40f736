"""Stored form of secrets."""

from trackfarm_scheduler.db.digests import digest_of


def test_digest_of_is_the_sha256_of_the_text() -> None:
    """Known answer of FIPS 180-4."""
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of("ü") != digest_of("u")
