"""Interpretation of Vast.ai's responses: their statuses and bodies are unreliable. Pure."""

import time
from collections.abc import Callable

import httpx

from trackfarm_fleet.providers import vast_schema as schema
from trackfarm_fleet.providers.http import common_trouble
from trackfarm_fleet.providers.port import (
    AuthFailed,
    BadRequest,
    Gone,
    Instance,
    NoCapacity,
    Observed,
    Offer,
    RateLimited,
    Trouble,
)

NAME = "vast"
_STATES = {
    None: Observed.STARTING,
    "loading": Observed.STARTING,
    "created": Observed.STARTING,
    "rebooting": Observed.STARTING,
    "running": Observed.RUNNING,
    "stopped": Observed.STOPPED,
    # We never freeze a machine, and a frozen one is billed.
    "frozen": Observed.BROKEN,
    "exited": Observed.BROKEN,
    "unknown": Observed.BROKEN,
    "offline": Observed.BROKEN,
}
_GONE = {"no_such_instance", "not_found"}
_DAY = 86_400.0


def judge(response: httpx.Response) -> Trouble | None:
    """Return the error in a response; a status of 200 may be a failure."""
    body = failure(response)
    detail = f"HTTP {response.status_code}: {words(body) or response.text[:200]}"
    if body.error in _GONE:
        return Gone(detail)
    if body.error == "search_quota_exceeded":
        return RateLimited(detail, _DAY - time.time() % _DAY)  # filled again at midnight UTC
    trouble = common_trouble(response, detail)
    if trouble is None and body.success is False:
        return BadRequest(detail)
    return trouble


def judge_search(response: httpx.Response) -> Trouble | None:
    """Return the error in a search response; a wrong key is answered with 404 here."""
    trouble = judge(response)
    return AuthFailed(trouble.detail) if isinstance(trouble, Gone) else trouble


def judge_create(response: httpx.Response) -> Trouble | None:
    """Return the error in a create response. An offer that is gone or closed to us is only one of
    many."""
    trouble = judge(response)
    taken = isinstance(trouble, Gone) or response.status_code == 403
    return NoCapacity(trouble.detail) if trouble and taken else trouble


def judge_create_with(left_behind: Callable[[int], None]) -> Callable[..., Trouble | None]:
    """Return a version of `judge_create` that reports machines left behind by failed calls, as of a
    bid that is too low: "creates spot instances in the stopped state and returns an error" (dstack,
    `vastai/api_client.py`)."""

    def judged(response: httpx.Response) -> Trouble | None:
        trouble = judge_create(response)
        contract = failure(response).new_contract
        if trouble and contract is not None:
            left_behind(contract)
            return NoCapacity(trouble.detail)
        return trouble

    return judged


def failure(response: httpx.Response) -> schema.Failure:
    """Parse the body as a failure; empty if it is plain text, as a 429's often is."""
    try:
        return schema.Failure.model_validate_json(response.content)
    except ValueError:
        return schema.Failure()


def words(said: schema.Failure) -> str:
    return " ".join(part for part in (said.error, said.msg, said.detail) if part)


def offer_of(row: schema.VastOffer, *, interruptible: bool) -> Offer:
    """Convert an offer. `dph_total` is `dph_base` plus the disk, which a bid does not cover."""
    price, bid = row.dph_total, None
    if interruptible:
        bid = row.min_bid if row.min_bid is not None else row.dph_base
        price = bid + max(row.dph_total - row.dph_base, 0.0)
    return Offer(
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


def instance_of(row: schema.VastInstance) -> Instance:
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


def state_of(row: schema.VastInstance) -> Observed:
    """Return the state; an unknown word counts as starting, so it never ends a machine."""
    if "OCI runtime create failed:" in (row.status_msg or ""):
        return Observed.BROKEN
    if row.actual_status == "stopped" and not row.is_bid:
        return Observed.BROKEN  # not outbid: its host has stopped it
    return _STATES.get(row.actual_status, Observed.STARTING)
