"""Loopback addresses: the only ones that may be reached in clear text."""

import ipaddress
from urllib.parse import urlsplit

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def is_loopback(host: str | None) -> bool:
    """Return True if a host, of a URL or to listen on, is the loopback of this machine."""
    if not host:
        return False
    if host.lower() in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def http_fault(url: str, *, setting: str, insecure: str) -> str | None:
    """Return why an HTTP address is unsafe and its safe replacement; None if it may be used.

    `setting` and `insecure` name the variables that hold the address and that allow clear text.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or is_loopback(parts.hostname):
        return None
    better = f"https://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return (
        f"{setting} would send keys and tokens unencrypted over the network:"
        f" write {setting}={better} (see `TLS` in docs/operating.md),"
        f" or {insecure}=true in a network that you trust"
    )
