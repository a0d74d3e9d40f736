"""Access to an S3 store of the tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class S3Access:
    """Address and keys of a user that may create buckets."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
