"""Requests and responses of Vast.ai's REST API (OpenAPI of 7 August 2026).

Where its documents contradict each other we follow its own SDK 1.9.1: `env` is an object, an
offer's type is `on-demand`, a GPU's name has spaces.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_BID = 32.0  # $ an hour; the smaller of two documented limits
_EnvText = Annotated[str, StringConstraints(max_length=256)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


Filter = dict[Literal["eq", "neq", "gt", "lt", "gte", "lte", "in", "notin"], Any]


class Search(_Request):
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


class Create(_Request):
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


class ChangeBid(_Request):
    client_id: Literal["me"] = "me"
    price: float = Field(ge=0.001, le=MAX_BID)


class VastOffer(_Answer):
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


class Offers(_Answer):
    offers: tuple[VastOffer, ...]


class Created(_Answer):
    new_contract: int


class VastInstance(_Answer):
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


class InstancePage(_Answer):
    next_token: str | None = None
    instances: tuple[VastInstance, ...]


class Failure(_Answer):
    """An error body; any field may be missing, even `success`."""

    success: bool | None = None
    error: str | None = None
    msg: str | None = None
    detail: str | None = None
    new_contract: int | None = None
