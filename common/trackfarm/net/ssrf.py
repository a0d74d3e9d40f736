"""Egress policy for URLs from untrusted users, and an HTTP transport that enforces it.

A brief may name any URL. Fetched from inside the operator's network, it could reach hosts that only
this network can reach: a router, a database, the cloud's metadata service. So the name is resolved
once, every address is checked, and the connection goes to a checked one: a name that resolves
differently the next time changes nothing. Redirects are checked as new requests.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx
from anyio import to_thread

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

# Not public, though `is_global` of some Python versions is true for them: IETF protocol assignments
# (with Oracle's metadata service), 6to4 relays, site-local addresses and Azure's WireServer.
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
_NO_KEEPALIVE = httpx.Limits(max_keepalive_connections=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Egress policy.

    `hosts`: if any, the only names allowed; one that begins with a dot covers all its subdomains.
    `ports`: empty allows any. `networks`: private networks, in CIDR notation, that may be reached
    anyway.
    """

    schemes: tuple[str, ...] = ("https", "http")
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443, 8080, 8443)
    networks: tuple[str, ...] = ()


class EgressDenied(httpx.UnsupportedProtocol):
    """The policy denies the request; the message says why."""


def url_problem(url: httpx.URL, rules: EgressPolicy) -> str | None:
    """Return why the policy denies a URL, before its name is resolved; None if allowed."""
    host = url.host.lower().rstrip(".")
    if url.scheme not in rules.schemes:
        schemes = " or ".join(f"{scheme}://" for scheme in rules.schemes)
        return f"the protocol {url.scheme or '(none)'} is not allowed; write {schemes}"
    if not host:
        return "it has no host"
    if url.userinfo:
        return "it contains a user name or a password"
    if rules.hosts and not any(_matches(pattern, host) for pattern in rules.hosts):
        return f"the host {host} is not allowed"
    if rules.ports and port_of(url) not in rules.ports:
        allowed = ", ".join(map(str, rules.ports))
        return f"the port {port_of(url)} is not allowed; allowed are {allowed}"
    return None


def address_problem(text: str, networks: Sequence[str] = ()) -> str | None:
    """Return why an address is denied: it is not public or leads to one that is not; else None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f"{text} is not an IP address"
    if any(address in ipaddress.ip_network(network) for network in networks):
        return None
    if any(not _is_public(each) for each in (address, *_embedded(address))):
        return f"{address} is not a public address"
    return None


def port_of(url: httpx.URL) -> int:
    return url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def resolve(host: str, port: int) -> list[str]:
    """Resolve a host name with the system's resolver. Raises OSError."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


class GuardedTransport(httpx.BaseTransport):
    """Transport that sends only allowed requests, to checked addresses; TLS verifies the name.

    Raises `EgressDenied` for the rest. Keeps no connection: one made for a name must not serve
    another name with the same address. Uses no proxy, since it would resolve the name again.
    """

    def __init__(
        self,
        rules: EgressPolicy,
        *,
        resolver: Resolver = resolve,
        inner: httpx.BaseTransport | None = None,
    ) -> None:
        self._rules = rules
        self._resolver = resolver
        self._inner = inner or httpx.HTTPTransport(trust_env=False, limits=_NO_KEEPALIVE)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        *others, last = _allowed_addresses(request, self._rules, self._resolver)
        for address in others:
            try:
                return self._inner.handle_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_pinned(request, last))

    def close(self) -> None:
        self._inner.close()


class AsyncGuardedTransport(httpx.AsyncBaseTransport):
    """`GuardedTransport` for asynchronous clients. A request that is cancelled while its name is
    resolved ends at once; the thread that resolves it is left alone."""

    def __init__(
        self,
        rules: EgressPolicy,
        *,
        resolver: Resolver = resolve,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._rules = rules
        self._resolver = resolver
        self._inner = inner or httpx.AsyncHTTPTransport(trust_env=False, limits=_NO_KEEPALIVE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        *others, last = await to_thread.run_sync(
            _allowed_addresses, request, self._rules, self._resolver, abandon_on_cancel=True
        )
        for address in others:
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, last))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _allowed_addresses(
    request: httpx.Request, rules: EgressPolicy, resolver: Resolver
) -> list[str]:
    """Resolve the host of an allowed URL; if any address is denied, deny all, or retries could get
    around it."""
    if flaw := url_problem(request.url, rules):
        raise EgressDenied(flaw, request=request)
    try:
        addresses = list(resolver(request.url.host, port_of(request.url)))
    except (OSError, UnicodeError) as error:
        reason = f"its host name cannot be resolved: {error}"
        raise httpx.ConnectError(reason, request=request) from error
    if not addresses:
        raise httpx.ConnectError("its host name has no address", request=request)
    for address in addresses:
        if flaw := address_problem(address, rules.networks):
            raise EgressDenied(flaw, request=request)
    return addresses


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """Return the same request for one address; its Host header already names the host."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _matches(pattern: str, host: str) -> bool:
    suffix = pattern.lower()
    return host.endswith(suffix) if suffix.startswith(".") else host == suffix


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NEVER):
        return False
    return address.is_global and not address.is_multicast


def _embedded(address: Address) -> Iterator[Address]:
    """Yield the IPv4 addresses to which a gateway would forward this IPv6 address."""
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
