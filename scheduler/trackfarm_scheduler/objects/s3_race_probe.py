"""Probe for races between two conditional PUTs of one object, by sending them to the store.

Some stores check the condition only when a PUT begins, OpenStack Swift for example: of two PUTs
that begin while no object exists both succeed, and the later stays. The holder of an upload URL
could then begin two, have the first accepted, and complete the other at any time.
"""

import socket
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from urllib.parse import SplitResult, urlsplit

import h11

_ANSWER_SECONDS = 30.0
_LOOK_SECONDS = 2.0
_READ_BYTES = 65_536
_FAULTS = (OSError, h11.ProtocolError)


def overtake(
    url: str, headers: Mapping[str, str], *, first: bytes, second: bytes, trust: ssl.SSLContext
) -> int | None:
    """Begin two PUTs, then complete them one after the other.

    Returns:
        HTTP status of the first; None when it got no response. The status of the second does not
        matter: look at the object.
    """
    with (
        suppress(*_FAULTS),
        closing(BegunPut(url, headers, first, trust)) as first_put,
        closing(BegunPut(url, headers, second, trust)) as second_put,
    ):
        status = first_put.end()
        with suppress(*_FAULTS):
            second_put.end()
        return status
    return None


class BegunPut:
    """A PUT with its head sent and, if the store supports `100 Continue`, already evaluated.

    Raises:
        OSError, h11.ProtocolError: the store is unreachable, or does not speak HTTP.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], body: bytes, trust: ssl.SSLContext
    ) -> None:
        address = urlsplit(url)
        body_headers = {"Content-Length": str(len(body)), "Expect": "100-continue"}
        fields = {"Host": address.netloc, **body_headers, **headers}
        target = f"{address.path}?{address.query}"
        self._body = body
        self._http = h11.Connection(h11.CLIENT)
        self._socket = _connected(address, trust)
        try:
            self._send(h11.Request(method="PUT", target=target, headers=list(fields.items())))
            self._refusal = self._looked_at()
        except BaseException:
            self.close()
            raise

    def end(self) -> int:
        """Send the body, unless the PUT was refused already; returns the HTTP status."""
        if self._refusal is not None:
            return self._refusal
        self._send(h11.Data(data=self._body), h11.EndOfMessage())
        while isinstance(event := self._event(), h11.InformationalResponse):
            pass  # a late 100 Continue
        return event.status_code

    def close(self) -> None:
        self._socket.close()

    def _looked_at(self) -> int | None:
        """Wait until the store asks for the body, or long enough to assume that it never asks."""
        self._socket.settimeout(_LOOK_SECONDS)
        try:
            event = self._event()
        except TimeoutError:
            return None
        finally:
            self._socket.settimeout(_ANSWER_SECONDS)
        return event.status_code if isinstance(event, h11.Response) else None

    def _event(self) -> h11.Response | h11.InformationalResponse:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(self._socket.recv(_READ_BYTES))
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise ConnectionError(f"expected an HTTP response, got {event!r}")
        return event

    def _send(self, *events: h11.Event) -> None:
        self._socket.sendall(b"".join(self._http.send(event) or b"" for event in events))


def _connected(place: SplitResult, trust: ssl.SSLContext) -> socket.socket:
    host, is_secure = place.hostname or "", place.scheme == "https"
    plain = socket.create_connection(
        (host, place.port or (443 if is_secure else 80)), _ANSWER_SECONDS
    )
    return trust.wrap_socket(plain, server_hostname=host) if is_secure else plain
