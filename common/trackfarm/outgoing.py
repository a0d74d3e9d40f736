"""Requests to addresses that strangers have chosen: which may be made, and a transport for them.

A brief may name any URL. Fetched from inside the operator's network, it could reach what only that
network may reach: a router, a database, the cloud's metadata. So the name is resolved once, every
address it has is judged, and the connection goes to one that was judged: a name that resolves to
something else the next time changes nothing. Redirects are requests of their own.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

# What `is_global` of some Pythons lets pass: IETF's own (Oracle's metadata is in it), relays of 6to4,
# and site-local ones. Azure's WireServer is public by its number only.
_NEVER = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "168.63.129.16/32"))
)
_NAT64 = (
    ipaddress.IPv6Network("64:ff9b::/96"),  # RFC 6052
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # RFC 8215, local use
)
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, deprecated
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may be asked for. `hosts`: these names and no others, when there are any; one that begins
    with a dot stands for all below it. `ports`: none means any. `networks`: private ones, in CIDR
    notation, that may be reached after all."""

    schemes: tuple[str, ...] = ("https", "http")
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443, 8080, 8443)
    networks: tuple[str, ...] = ()


class Forbidden(httpx.UnsupportedProtocol):
    """The rules do not allow the request; the message says why."""


def url_flaw(url: httpx.URL, rules: Rules) -> str | None:
    """What is wrong with a URL before its name is resolved."""
    host = url.host.lower().rstrip(".")
    if url.scheme not in rules.schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in rules.schemes)
        return f"the protocol {url.scheme or 'of no name'} is not allowed; write {wanted}"
    if not host:
        return "it has no host"
    if url.userinfo:
        return "it carries a name or a password"
    if rules.hosts and not any(_names(pattern, host) for pattern in rules.hosts):
        return f"the host {host} is not among those that are allowed"
    if rules.ports and port_of(url) not in rules.ports:
        allowed = ", ".join(map(str, rules.ports))
        return f"the port {port_of(url)} is not allowed; allowed are {allowed}"
    return None


def address_flaw(text: str, networks: Sequence[str] = ()) -> str | None:
    """Why an address may not be connected to: it is not public, or it leads to one that is not."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f"{text} is no address"
    if any(address in ipaddress.ip_network(network) for network in networks):
        return None
    if any(not _is_public(one) for one in (address, *_embedded(address))):
        return f"{address} is not a public address"
    return None


def port_of(url: httpx.URL) -> int:
    return url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system gives them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.BaseTransport):
    """Sends only what the rules allow, to an address that was judged; TLS still asks for the name.

    Raises `Forbidden` for the rest. Keeps no connection: one made for a name must not serve another
    that has the same address. Proxies are not used, since they would resolve the name again.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        resolver: Resolver = resolve,
        inner: httpx.BaseTransport | None = None,
    ) -> None:
        self._rules = rules
        self._resolver = resolver
        self._inner = inner or httpx.HTTPTransport(
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if flaw := url_flaw(request.url, self._rules):
            raise Forbidden(flaw, request=request)
        *others, last = self._judged(request)
        for address in others:
            try:
                return self._inner.handle_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_pinned(request, last))

    def close(self) -> None:
        self._inner.close()

    def _judged(self, request: httpx.Request) -> list[str]:
        """The addresses of the host; none may be forbidden, or a name could try its luck."""
        try:
            found = list(self._resolver(request.url.host, port_of(request.url)))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"its name is not known: {error}", request=request) from error
        if not found:
            raise httpx.ConnectError("its name has no address", request=request)
        for address in found:
            if flaw := address_flaw(address, self._rules.networks):
                raise Forbidden(flaw, request=request)
        return found


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The same request to an address; its Host header names the host already."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _names(pattern: str, host: str) -> bool:
    wanted = pattern.lower()
    return host.endswith(wanted) if wanted.startswith(".") else host == wanted


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NEVER):
        return False
    return address.is_global and not address.is_multicast


def _embedded(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that a gateway would send packets for this IPv6 address to."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    low = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    is_isatap = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    if is_isatap or address in _IPV4_COMPATIBLE or any(address in net for net in _NAT64):
        yield low
