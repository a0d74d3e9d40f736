"""Kills a process at a chosen moment: before or after one of its HTTP calls.

It is a proxy between the process and a server, which records every call by a name.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.servers.scripted_http import ReceivedRequest, Reply, ReplyFunction


@dataclass
class KillSwitch:
    """The proxy. `pid` is the process to kill. `moment`: the name of a call, and whether to kill
    `after` it was answered (the response is lost then) or before it is executed; None once it has
    happened."""

    pid: int = 0
    moment: tuple[str, bool] | None = None
    calls: list[str] = field(default_factory=list)

    def around(
        self, reply: ReplyFunction, name_of: Callable[[ReceivedRequest], str]
    ) -> ReplyFunction:
        """Return the server with the tripwire in front of it."""

        def watched(request: ReceivedRequest) -> Reply:
            name = name_of(request)
            self.calls.append(name)
            if self._trips(name, after=False):
                return Reply(0)
            answer = reply(request)
            return Reply(0) if self._trips(name, after=True) else answer

        return watched

    def _trips(self, name: str, *, after: bool) -> bool:
        if self.moment != (name, after):
            return False
        self.moment = None
        os.kill(self.pid, signal.SIGKILL)
        return True


def forwarding(url: str) -> ReplyFunction:
    """Return a handler that forwards requests to another server."""

    def reply(request: ReceivedRequest) -> Reply:
        wanted = {"Authorization", "Content-Type"}
        headers = {k: v for k, v in request.headers.items() if k.title() in wanted}
        params = dict(request.params)
        answer = httpx.request(
            request.method, url + request.path, params=params, headers=headers, content=request.body
        )
        body = answer.json() if answer.content else None
        return Reply(answer.status_code, body)

    return reply


def call_to_farm(request: ReceivedRequest) -> str:
    """Return the name of a call to the scheduler; a move is named after the rental's new state."""
    parts = request.path.removeprefix("/api/v1/fleet/").split("/")
    match request.method, parts:
        case "PUT", ["rentals", _]:
            return f"note {_becomes(request.json['status'])}"
        case "POST", ["rentals", _, verb]:
            return verb
        case "POST", ["rentals"]:
            return "create intent"
    return parts[0]


def _becomes(status: dict[str, Any]) -> str:
    request = status["state"] == "ending" and status["asked_to_end_at"] is not None
    return "asked to end" if request else str(status["state"])


def call_to_runpod(request: ReceivedRequest) -> str:
    match request.method, request.path.count("/"):
        case "POST", _:
            return "create"
        case "DELETE", _:
            return "terminate"
        case "GET", 2:
            return "list"
    return "offers"
