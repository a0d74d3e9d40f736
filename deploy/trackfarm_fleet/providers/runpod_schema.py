"""Requests and responses of RunPod's API v2 (`GET /v2/openapi.json`, 20 August 2026).

RunPod rejects unknown fields, and so do our requests. Its responses may have more fields than we
read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _RunpodRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _RunpodAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class GpuRequest(_RunpodRequest):
    id: str
    count: int = Field(ge=1)
    minCudaVersion: str | None = None


class NetworkVolume(_RunpodRequest):
    volumeId: str
    path: str


class Mounts(_RunpodRequest):
    network: tuple[NetworkVolume, ...] = Field(max_length=1)


class CreatePod(_RunpodRequest):
    """A new pod. `env` holds the join token, so it is left out of the repr. `args` are the
    arguments of the image's entry point, as one text."""

    name: str
    image: str
    args: str | None = None
    gpu: GpuRequest
    cloud: Literal["SECURE", "COMMUNITY"]
    dataCenterIds: tuple[str, ...] | None = None
    disk: int = Field(ge=1)
    env: dict[str, str] = Field(repr=False)
    registry: str | None = None
    mounts: Mounts | None = None


class PodGpu(_RunpodAnswer):
    id: str = ""
    count: int = 1


class Pod(_RunpodAnswer):
    id: str
    name: str
    status: str
    cost: float = 0.0
    gpu: PodGpu | None = None
    dataCenterId: str | None = None
    createdAt: datetime | None = None


class Pods(_RunpodAnswer):
    pods: tuple[Pod, ...]


class Price(_RunpodAnswer):
    """Price of one GPU in $ an hour."""

    secure: float | None = None
    community: float | None = None


class DataCenter(_RunpodAnswer):
    id: str
    availability: str = "NONE"


class CatalogGpu(_RunpodAnswer):
    """A GPU type; `memory` in GB."""

    id: str
    name: str = ""
    memory: int
    price: Price
    availability: str = "NONE"
    maxCount: Mapping[str, int | None] = Field(default_factory=dict)
    dataCenters: tuple[DataCenter, ...] = ()


class CatalogGpus(_RunpodAnswer):
    gpus: tuple[CatalogGpu, ...]


class Charge(_RunpodAnswer):
    """Charge for one pod on one day in $, its disk included."""

    podId: str
    totalAmount: float = Field(ge=0, allow_inf_nan=False)


class Charges(_RunpodAnswer):
    records: tuple[Charge, ...]


class RunpodProblem(_RunpodAnswer):
    """An error response (RFC 9457)."""

    title: str = ""
    detail: str = ""
