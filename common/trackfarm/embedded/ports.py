"""TCP ports on loopback."""

import socket

from trackfarm.embedded.broker import LOOPBACK


class PortTaken(Exception):
    """The requested port is in use or not permitted."""


def choose_port(wanted: int) -> int:
    """Return `wanted` if it is free, or any free port for 0.

    Raises:
        PortTaken: the port is in use or not permitted.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError as error:
            raise PortTaken(
                f"port {wanted} cannot be used ({error.strerror}); choose another with --port,"
                " or any free one with --port 0"
            ) from error
        return int(probe.getsockname()[1])
