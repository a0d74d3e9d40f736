"""Egress for user-supplied URLs: public addresses only, for every name and redirect."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from tests.servers.scripted_http import ReceivedRequest, Reply, ScriptedServer, scripted_server
from trackfarm.net.ssrf import (
    EgressDenied,
    EgressPolicy,
    GuardedTransport,
    address_problem,
    resolve,
    url_problem,
)

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - an address to be refused
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.9.10",
    "169.254.169.254",
    "168.63.129.16",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2001:db8::1",
    "2606:4700::5efe:10.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "localhost",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
NEAR = EgressPolicy(ports=(), networks=("127.0.0.2/32",))


@pytest.mark.parametrize("address", PRIVATE)
def test_address_problem_finds_private_addresses_in_every_notation(address: str) -> None:
    assert address_problem(address) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_address_problem_allows_public_addresses(address: str) -> None:
    assert address_problem(address) is None


def test_address_problem_allows_one_network_and_no_other() -> None:
    assert address_problem("10.1.2.3", ["10.1.0.0/16"]) is None
    assert address_problem("10.2.2.3", ["10.1.0.0/16"]) is not None
    assert address_problem("::ffff:10.1.2.3", ["10.1.0.0/16"]) is not None


@pytest.mark.parametrize(
    ("url", "rules", "flaw"),
    [
        ("https://music.example/a", EgressPolicy(), None),
        ("http://music.example:8080/a", EgressPolicy(), None),
        ("file:///etc/passwd", EgressPolicy(), "protocol file"),
        ("gopher://music.example/", EgressPolicy(), "protocol gopher"),
        ("http://music.example/", EgressPolicy(schemes=("https",)), "protocol http"),
        ("http://", EgressPolicy(), "no host"),
        ("http://user:pw@music.example/", EgressPolicy(), "a user name or a password"),
        ("http://music.example:22/", EgressPolicy(), "port 22"),
        ("http://music.example:6379/", EgressPolicy(), "port 6379"),
        ("https://cdn.example/a", EgressPolicy(hosts=("music.example",)), "host cdn.example"),
        ("https://MUSIC.example./a", EgressPolicy(hosts=("music.example",)), None),
        ("https://a.cdn.example/a", EgressPolicy(hosts=(".cdn.example",)), None),
        (
            "https://evilcdn.example/a",
            EgressPolicy(hosts=(".cdn.example",)),
            "host evilcdn.example",
        ),
    ],
)
def test_transport_checks_urls_before_it_resolves_names(
    url: str, rules: EgressPolicy, flaw: str | None
) -> None:
    reason = url_problem(httpx.URL(url), rules)
    assert (reason is None) if flaw is None else flaw in (reason or "")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost"])
def test_transport_resolves_other_spellings_of_loopback(host: str) -> None:
    assert all(address_problem(address) for address in resolve(host, 80))


class Names:
    """Resolver that returns its answers in turn, then repeats the last."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def listening(
    address: str, location: Callable[[int], str] | None = None
) -> Iterator[ScriptedServer]:
    """Run a web server on a loopback address; it redirects if it has a `location`."""

    def reply(_: ReceivedRequest) -> Reply:
        headers = {"Location": location(server.port)} if location else {}
        return Reply(302 if location else 200, b"music", headers)

    with scripted_server(reply, address) as server:
        yield server


def guarded(names: Names, rules: EgressPolicy = NEAR) -> httpx.Client:
    return httpx.Client(transport=GuardedTransport(rules, resolver=names), timeout=5)


def test_transport_connects_to_the_checked_address_with_the_hosts_name() -> None:
    names = Names(["127.0.0.2"])
    with listening("127.0.0.2") as server, guarded(names) as client:
        answer = client.get(f"http://music.example:{server.port}/a")
    assert (answer.status_code, answer.content) == (200, b"music")
    assert [r.headers["host"] for r in server.requests] == [f"music.example:{server.port}"]
    assert names.asked == [("music.example", server.port)], "once: what was judged is connected to"
    assert answer.url.host == "music.example"


def test_transport_checks_a_name_at_each_request() -> None:
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    with listening("127.0.0.2") as server, guarded(names) as client:
        url = f"http://music.example:{server.port}/a"
        assert client.get(url).is_success
        with pytest.raises(EgressDenied, match=r"127\.0\.0\.1 is not a public address"):
            client.get(url)


def test_transport_denies_a_name_with_one_private_address() -> None:
    with guarded(Names(["8.8.8.8", "10.0.0.1"])) as client, pytest.raises(EgressDenied):
        client.get("http://music.example/")


def test_transport_checks_redirects() -> None:
    """Redirects to another name, number, protocol and port are checked."""
    for place in ("http://inside.example:{}/", "http://127.0.0.1:{}/", "file:///etc/passwd#{}"):
        names = Names(["127.0.0.2"], ["127.0.0.1"])
        with (
            listening("127.0.0.2", place.format) as server,
            guarded(names) as client,
            pytest.raises(httpx.UnsupportedProtocol),
        ):
            client.get(f"http://music.example:{server.port}/", follow_redirects=True)
        assert len(server.requests) == 1


def test_transport_tries_the_next_address() -> None:
    with listening("127.0.0.2") as server:
        rules = EgressPolicy(ports=(), networks=("127.0.0.0/8",))
        with guarded(Names(["127.0.0.3", "127.0.0.2"]), rules) as client:
            assert client.get(f"http://music.example:{server.port}/").is_success


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_transport_verifies_the_name_and_connects_to_the_address(address: str) -> None:
    """The certificate must match the host name of the original URL."""
    requests: list[httpx.Request] = []

    def inner(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    transport = GuardedTransport(
        EgressPolicy(), resolver=Names([address]), inner=httpx.MockTransport(inner)
    )
    with httpx.Client(transport=transport) as client:
        client.get("https://music.example/a?b=1")
    (request,) = requests
    assert (request.url.host, request.url.raw_path) == (address, b"/a?b=1")
    assert request.headers["host"] == "music.example"
    assert request.extensions["sni_hostname"] == "music.example"


def test_transport_without_an_address_raises_connect_error() -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    transport = GuardedTransport(EgressPolicy(), resolver=nobody)
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.ConnectError):
        client.get("http://music.example/")


def test_transport_ignores_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with listening("127.0.0.2") as server, guarded(Names(["127.0.0.2"])) as client:
        assert client.get(f"http://music.example:{server.port}/").is_success
