"""Row ids: a readable kind and 80 random bits."""

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(kind: str) -> str:
    """Return an id such as `job_7f3k9x0c2m4n6p8q`."""
    return f"{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
