"""Kills a process at a chosen moment: before or after one of its HTTP calls.

It is a proxy between the process and a server, which records every call by a name.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.fleet.fakes.server import Answer, Asked

Reply = Callable[[Asked], Answer]


@dataclass
class KillSwitch:
    """The proxy. `pid` is the process to kill. `moment`: the name of a call, and whether to kill
    `after` it was answered (the response is lost then) or before it is executed; None once it has
    happened."""

    pid: int = 0
    moment: tuple[str, bool] | None = None
    heard: list[str] = field(default_factory=list)

    def around(self, reply: Reply, name_of: Callable[[Asked], str]) -> Reply:
        """Return the server with the tripwire in front of it."""

        def watched(asked: Asked) -> Answer:
            name = name_of(asked)
            self.heard.append(name)
            if self._trips(name, after=False):
                return Answer(0)
            answer = reply(asked)
            return Answer(0) if self._trips(name, after=True) else answer

        return watched

    def _trips(self, name: str, *, after: bool) -> bool:
        if self.moment != (name, after):
            return False
        self.moment = None
        os.kill(self.pid, signal.SIGKILL)
        return True


def forwarding(url: str) -> Reply:
    """Return a handler that forwards requests to another server."""

    def reply(asked: Asked) -> Answer:
        wanted = {"Authorization", "Content-Type"}
        headers = {k: v for k, v in asked.headers.items() if k.title() in wanted}
        params = dict(asked.params)
        answer = httpx.request(
            asked.method, url + asked.path, params=params, headers=headers, content=asked.body
        )
        body = answer.json() if answer.content else None
        return Answer(answer.status_code, body)

    return reply


def call_to_farm(asked: Asked) -> str:
    """Return the name of a call to the scheduler; a move is named after the rental's new state."""
    parts = asked.path.removeprefix("/api/v1/fleet/").split("/")
    match asked.method, parts:
        case "PUT", ["rentals", _]:
            return f"note {_becomes(asked.json['standing'])}"
        case "POST", ["rentals", _, verb]:
            return verb
        case "POST", ["rentals"]:
            return "intend"
    return parts[0]


def _becomes(standing: dict[str, Any]) -> str:
    asked = standing["state"] == "ending" and standing["asked_to_end_at"] is not None
    return "asked to end" if asked else str(standing["state"])


def call_to_runpod(asked: Asked) -> str:
    match asked.method, asked.path.count("/"):
        case "POST", _:
            return "create"
        case "DELETE", _:
            return "terminate"
        case "GET", 2:
            return "list"
    return "offers"
