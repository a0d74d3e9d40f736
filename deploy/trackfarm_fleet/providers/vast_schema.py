"""Requests and responses of Vast.ai's REST API (OpenAPI of 7 August 2026), and the interpretation of
its responses: their statuses and bodies are unreliable. Pure.

Where its documents contradict each other we follow its own SDK 1.9.1: `env` is an object, an
offer's type is `on-demand`, a GPU's name has spaces.
"""

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from trackfarm_fleet.providers.base import (
    AuthFailed,
    BadRequest,
    Instance,
    InstanceState,
    MachineOffer,
    NoCapacity,
    NotFound,
    ProviderError,
    RateLimited,
)
from trackfarm_fleet.providers.http import common_error

NAME = "vast"
MAX_BID = 32.0  # $ an hour; the smaller of two documented limits
_STATES = {
    None: InstanceState.STARTING,
    "loading": InstanceState.STARTING,
    "created": InstanceState.STARTING,
    "rebooting": InstanceState.STARTING,
    "running": InstanceState.RUNNING,
    "stopped": InstanceState.STOPPED,
    # We never freeze a machine, and a frozen one is billed.
    "frozen": InstanceState.BROKEN,
    "exited": InstanceState.BROKEN,
    "unknown": InstanceState.BROKEN,
    "offline": InstanceState.BROKEN,
}
_GONE = {"no_such_instance", "not_found"}
_DAY = 86_400.0
_EnvText = Annotated[str, StringConstraints(max_length=256)]


class _VastRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _VastAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


Filter = dict[Literal["eq", "neq", "gt", "lt", "gte", "lte", "in", "notin"], Any]


class Search(_VastRequest):
    """A search for offers. Memory in MB, disk in GB, prices in $ an hour, `inet_down` in Mbps."""

    num_gpus: Filter
    gpu_ram: Filter
    disk_space: Filter
    gpu_name: Filter | None = None
    dph_total: Filter | None = None
    reliability: Filter
    inet_down: Filter
    cuda_max_good: Filter
    verified: Filter = {"eq": True}
    rentable: Filter = {"eq": True}
    rented: Filter = {"eq": False}
    type: Literal["on-demand", "bid"]
    order: tuple[tuple[str, Literal["asc", "desc"]], ...] = (("dph_total", "asc"),)
    limit: int = 64
    allocated_storage: float


class Create(_VastRequest):
    """A new rental. `price` makes it interruptible. With `runtype` args the image's entry point
    runs as process 1 and gets the stop signal; with ssh, Vast's own entry point runs `onstart` at
    every start of the container. The limit of 4,048 characters is the smaller of two documented
    ones."""

    client_id: Literal["me"] = "me"
    image: Annotated[str, StringConstraints(max_length=1024)]
    disk: float = Field(ge=8)
    label: Annotated[str, StringConstraints(max_length=256)]
    runtype: Literal["args", "ssh"] = "args"
    onstart: Annotated[str, StringConstraints(max_length=4048)] | None = None
    env: dict[_EnvText, _EnvText] = Field(repr=False)
    image_login: str | None = Field(default=None, repr=False)
    price: float | None = Field(default=None, ge=0.001, le=MAX_BID)
    cancel_unavail: Literal[True] = True
    target_state: Literal["running"] = "running"


class VastBidRequest(_VastRequest):
    client_id: Literal["me"] = "me"
    price: float = Field(ge=0.001, le=MAX_BID)


class VastOffer(_VastAnswer):
    """An offer. `gpu_ram` in MB of one GPU, `inet_down` in Mbps, prices in $ an hour for the
    machine."""

    id: int
    machine_id: int | None = None
    host_id: int | None = None
    gpu_name: str
    num_gpus: int
    gpu_ram: float
    dph_base: float = 0.0
    dph_total: float
    min_bid: float | None = None
    reliability2: float | None = None
    inet_down: float | None = None
    geolocation: str | None = None


class Offers(_VastAnswer):
    offers: tuple[VastOffer, ...]


class Created(_VastAnswer):
    new_contract: int


class VastInstance(_VastAnswer):
    id: int
    label: str | None = None
    actual_status: str | None = None
    intended_status: str | None = None
    status_msg: str | None = None
    gpu_name: str | None = None
    num_gpus: int | None = None
    dph_total: float | None = None
    is_bid: bool | None = None
    min_bid: float | None = None
    machine_id: int | None = None
    host_id: int | None = None
    geolocation: str | None = None
    start_date: float | None = None


class InstancePage(_VastAnswer):
    next_token: str | None = None
    instances: tuple[VastInstance, ...]


class VastFailure(_VastAnswer):
    """An error body; any field may be missing, even `success`."""

    success: bool | None = None
    error: str | None = None
    msg: str | None = None
    detail: str | None = None
    new_contract: int | None = None


def judge(response: httpx.Response) -> ProviderError | None:
    """Return the error in a response; a status of 200 may be a failure."""
    body = failure(response)
    detail = f"HTTP {response.status_code}: {_message(body) or response.text[:200]}"
    if body.error in _GONE:
        return NotFound(detail)
    if body.error == "search_quota_exceeded":
        return RateLimited(detail, _DAY - time.time() % _DAY)  # filled again at midnight UTC
    error = common_error(response, detail)
    if error is None and body.success is False:
        return BadRequest(detail)
    return error


def judge_search(response: httpx.Response) -> ProviderError | None:
    """Return the error in a search response; a wrong key is answered with 404 here."""
    error = judge(response)
    return AuthFailed(error.detail) if isinstance(error, NotFound) else error


def judge_create(response: httpx.Response) -> ProviderError | None:
    """Return the error in a create response. An offer that is gone or closed to us is only one of
    many."""
    error = judge(response)
    taken = isinstance(error, NotFound) or response.status_code == 403
    return NoCapacity(error.detail) if error and taken else error


def judge_create_with(on_leftover: Callable[[int], None]) -> Callable[..., ProviderError | None]:
    """Return a version of `judge_create` that calls `on_leftover` for machines left behind by failed
    calls, as of a bid that is too low: "creates spot instances in the stopped state and returns an
    error" (dstack, `vastai/api_client.py`)."""

    def judged(response: httpx.Response) -> ProviderError | None:
        error = judge_create(response)
        contract = failure(response).new_contract
        if error and contract is not None:
            on_leftover(contract)
            return NoCapacity(error.detail)
        return error

    return judged


def failure(response: httpx.Response) -> VastFailure:
    """Parse the body as a failure; empty if it is plain text, as a 429's often is."""
    try:
        return VastFailure.model_validate_json(response.content)
    except ValueError:
        return VastFailure()


def _message(body: VastFailure) -> str:
    return " ".join(part for part in (body.error, body.msg, body.detail) if part)


def offer_of(row: VastOffer, *, interruptible: bool) -> MachineOffer:
    """Convert an offer. `dph_total` is `dph_base` plus the disk, which a bid does not cover."""
    price, bid = row.dph_total, None
    if interruptible:
        bid = row.min_bid if row.min_bid is not None else row.dph_base
        price = bid + max(row.dph_total - row.dph_base, 0.0)
    return MachineOffer(
        provider=NAME,
        id=str(row.id),
        gpu=row.gpu_name.replace("_", " "),
        gpus=row.num_gpus,
        memory_mib=int(row.gpu_ram),
        price_per_hour=price,
        region=row.geolocation or "",
        host=str(row.host_id or row.machine_id or ""),
        min_bid=bid,
        download_mbps=row.inet_down,
        reliability=row.reliability2,
        free_boot=True,  # "for every second your instance is in the active/connected state"
    )


def instance_of(row: VastInstance) -> Instance:
    return Instance(
        provider=NAME,
        id=str(row.id),
        tag=row.label or "",
        state=state_of(row),
        gpu=(row.gpu_name or "").replace("_", " "),
        gpus=row.num_gpus or 1,
        price_per_hour=row.dph_total or 0.0,
        region=row.geolocation or "",
        host=str(row.host_id or row.machine_id or ""),
        min_bid=row.min_bid if row.is_bid else None,
        created_at=row.start_date,
        detail=" ".join(part for part in (row.actual_status, row.status_msg) if part),
    )


def state_of(row: VastInstance) -> InstanceState:
    """Return the state; an unknown word counts as starting, so it never ends a machine."""
    if "OCI runtime create failed:" in (row.status_msg or ""):
        return InstanceState.BROKEN
    if row.actual_status == "stopped" and not row.is_bid:
        return InstanceState.BROKEN  # not outbid: its host has stopped it
    return _STATES.get(row.actual_status, InstanceState.STARTING)
