"""Which addresses may be spoken to in clear text: those that never leave this machine."""

import ipaddress
from urllib.parse import urlsplit

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def is_loopback(host: str | None) -> bool:
    """Whether a host of a URL, or one to listen on, is this machine and nobody else's."""
    if not host:
        return False
    if host.lower() in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def http_fault(url: str, *, setting: str, insecure: str) -> str | None:
    """Why an HTTP address must not be used, and what to write instead; None when it may be.

    `setting` and `insecure` are the names of the variables that hold the address and that allow it
    all the same.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or is_loopback(parts.hostname):
        return None
    better = f"https://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return (
        f"{setting} would carry keys and tokens over a network that anyone on the way can read:"
        f" write {setting}={better} (see `TLS` in docs/operating.md),"
        f" or {insecure}=true in a network that you trust"
    )
