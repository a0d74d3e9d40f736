"""Stored form of secrets: API keys, tokens, passwords, webhook secrets."""

import hashlib


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret in hexadecimal, which is enough for 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
