"""What a client needs to know of an S3 store."""

from dataclasses import dataclass


@dataclass(frozen=True)
class S3Access:
    """Address and keys of a user who may create buckets."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
