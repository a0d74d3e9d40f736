"""What a store makes of two conditional PUTs of one object at once, seen by sending them.

Some look only when a PUT begins. OpenStack Swift does: of two that begin while nothing is there both
succeed, and the later stays. Whoever holds an upload URL could then begin two, have the first
accepted, and end the other when it likes.
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
    """Begins two PUTs, ends the one and then the other.

    Returns:
        HTTP status of the first; None where it got no answer. What the second is told does not
        matter: look at the object.
    """
    with (
        suppress(*_FAULTS),
        closing(BegunPut(url, headers, first, trust)) as one,
        closing(BegunPut(url, headers, second, trust)) as two,
    ):
        status = one.end()
        with suppress(*_FAULTS):
            two.end()
        return status
    return None


class BegunPut:
    """A PUT whose head was sent and, by a store that says `100 Continue`, looked at.

    Raises:
        OSError, h11.ProtocolError: the store cannot be reached, or speaks no HTTP.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], body: bytes, trust: ssl.SSLContext
    ) -> None:
        place = urlsplit(url)
        known = {"Content-Length": str(len(body)), "Expect": "100-continue"}
        fields = {"Host": place.netloc, **known, **headers}
        target = f"{place.path}?{place.query}"
        self._body = body
        self._http = h11.Connection(h11.CLIENT)
        self._socket = _connected(place, trust)
        try:
            self._send(h11.Request(method="PUT", target=target, headers=list(fields.items())))
            self._refusal = self._looked_at()
        except BaseException:
            self.close()
            raise

    def end(self) -> int:
        """Sends the body, unless it was refused already; returns the HTTP status."""
        if self._refusal is not None:
            return self._refusal
        self._send(h11.Data(data=self._body), h11.EndOfMessage())
        while isinstance(event := self._event(), h11.InformationalResponse):
            """It may have been slow to say that it goes on."""
        return event.status_code

    def close(self) -> None:
        self._socket.close()

    def _looked_at(self) -> int | None:
        """Waits until the store asks for the body, or for as long as one would that asks."""
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
            raise ConnectionError(f"no answer but {event!r}")
        return event

    def _send(self, *events: h11.Event) -> None:
        self._socket.sendall(b"".join(self._http.send(event) or b"" for event in events))


def _connected(place: SplitResult, trust: ssl.SSLContext) -> socket.socket:
    host, is_secure = place.hostname or "", place.scheme == "https"
    plain = socket.create_connection(
        (host, place.port or (443 if is_secure else 80)), _ANSWER_SECONDS
    )
    return trust.wrap_socket(plain, server_hostname=host) if is_secure else plain
