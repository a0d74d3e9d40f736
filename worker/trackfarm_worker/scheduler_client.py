"""The scheduler's worker API over HTTP, and nothing else."""

import ssl
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel

from trackfarm.protocol.worker import (
    WORKER_PREFIX,
    ClaimAnswer,
    ClaimRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    LeaveRequest,
    RegisterAnswer,
    RegisterRequest,
    ReleaseRequest,
    ReportAnswer,
    ReportRequest,
)

Answer = TypeVar("Answer", bound=BaseModel)
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
RETRIABLE = frozenset({429, 500, 502, 503, 504})


class SchedulerUnavailable(Exception):
    """The scheduler is temporarily unavailable: no response, or a retryable one. The same call may
    succeed soon."""


class Unauthorized(Exception):
    """Our token is not valid, or no longer valid."""


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The lease is lost: another worker has the shard now, or its job was cancelled."""

    reason: str


class RequestRejected(Exception):
    """The scheduler refuses the request itself; a retry would not help."""


class SchedulerClient:
    """HTTP client of the worker API; thread-safe. Every call raises SchedulerUnavailable, Unauthorized or
    RequestRejected when it fails."""

    def __init__(self, url: str, *, token: str, verify: ssl.SSLContext | bool = True) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/") + WORKER_PREFIX,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            verify=verify,
        )

    def close(self) -> None:
        self._http.close()

    def register(self, request: RegisterRequest) -> RegisterAnswer:
        """Register this worker. The token of this client must be an invitation token or that of a
        previous session."""
        return _read(self._post("register", request), RegisterAnswer)

    def claim(self, shard_id: str, request: ClaimRequest) -> ClaimAnswer | LeaseLost:
        response = self._post(f"shards/{shard_id}/claim", request, allowed={409, 410})
        if response.status_code in (409, 410):
            return LeaseLost(_detail(response))
        return _read(response, ClaimAnswer)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatAnswer:
        return _read(self._post("heartbeat", request), HeartbeatAnswer)

    def report(self, shard_id: str, request: ReportRequest) -> ReportAnswer:
        return _read(self._post(f"shards/{shard_id}/report", request), ReportAnswer)

    def release(self, shard_id: str, request: ReleaseRequest) -> None:
        """Release tracks. Releasing a shard after its lease was lost is no error."""
        self._post(f"shards/{shard_id}/release", request, allowed={409, 410})

    def leave(self, reason: str) -> None:
        self._post("leave", LeaveRequest(reason=reason))

    def _post(
        self, path: str, body: BaseModel, *, allowed: set[int] | frozenset[int] = frozenset()
    ) -> httpx.Response:
        try:
            response = self._http.post(
                path,
                content=body.model_dump_json(),
                headers={"Content-Type": "application/json"},
            )
        except httpx.RequestError as error:
            raise SchedulerUnavailable(f"{type(error).__name__}: {error}") from error
        if response.is_success or response.status_code in allowed:
            return response
        if response.status_code in RETRIABLE:
            raise SchedulerUnavailable(f"HTTP {response.status_code}: {_detail(response)}")
        if response.status_code in (401, 403):
            raise Unauthorized(_detail(response))
        raise RequestRejected(f"HTTP {response.status_code}: {_detail(response)}")


def _read(response: httpx.Response, kind: type[Answer]) -> Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValueError as error:
        raise SchedulerUnavailable(f"invalid response: {error}") from error


def _detail(response: httpx.Response) -> str:
    try:
        body = response.json()
        return f"{body.get('detail', '')} {body.get('errors') or ''}".strip()
    except (ValueError, AttributeError):
        return response.text[:200]
