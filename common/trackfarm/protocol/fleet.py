"""Messages between the fleet and the scheduler over HTTP (`/api/v1/fleet`).

Only the scheduler opens the database, so the fleet stores its rentals through these calls: an
intent before a machine is requested, and every state change after that. Times are seconds since
1970 on the writer's clock; money is in $ and $ per hour for the whole machine.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from trackfarm.planning.models import ShapeCount
from trackfarm.protocol.base import AnswerModel, Count, Hex64, RequestModel, ShortText
from trackfarm.protocol.operator import WorkerState

Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,60}$")]
Purpose = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{0,40}$")]
MAX_LEASE_SECONDS = 600.0


class RentalState(StrEnum):
    INTENDED = "intended"
    CREATED = "created"
    BOOTING = "booting"
    JOINED = "joined"
    DRAINING = "draining"
    ENDING = "ending"
    ENDED = "ended"


class FleetLeaseRequest(RequestModel):
    """Request to acquire the fleet's leader lease for `seconds`, or to renew it."""

    holder: ShortText = Field(min_length=1)
    seconds: float = Field(gt=0, le=MAX_LEASE_SECONDS)


class FleetLease(AnswerModel):
    """Leader lease of the fleet: its holder, and the `seconds` it has left (0: no leader).

    `epoch` grows with each new holder; writes under an older epoch are refused. `farm` is in the
    tags of this farm's machines, and of no others.
    """

    farm: str
    holder: str
    epoch: int
    seconds: float


class PriceChange(RequestModel):
    """Price of a machine from `at` on; `stopped`: it was stopped and did no work."""

    at: Moment
    price_per_hour: Dollars
    stopped: bool = False


class RentalPlan(RequestModel):
    """Specification of a machine, before it is requested.

    `vram` (nominal GB) and `gpus` are the expected hardware, `ready_in` the seconds until it should
    work, `purpose` the job that it is rented for, empty for all.
    """

    tag: Tag
    provider: ShortText = Field(min_length=1)
    gpu: ShortText
    gpus: int = Field(ge=1, le=64)
    vram: int = Field(ge=0, le=10_000)
    model_set: ShortText
    purpose: Purpose = ""
    price_per_hour: Dollars
    bid: Dollars | None = None
    ready_in: Seconds = 0.0
    intended_at: Moment


class RentalStatus(RequestModel):
    """State of a rental, managed by `trackfarm_fleet.rentals.state_machine`.

    `extra` in $: cost of machines created twice by mistake; `charged` in $: cost of the machine on
    the provider's invoice, if known.
    """

    state: RentalState = RentalState.INTENDED
    since: Moment
    provider_id: ShortText = ""
    price_per_hour: Dollars
    bid: Dollars | None = None
    extra: Dollars = 0.0
    charged: Dollars | None = None
    created_at: Moment | None = None
    joined_at: Moment | None = None
    ended_at: Moment | None = None
    seen_at: Moment | None = None
    stopped_at: Moment | None = None
    asked_to_end_at: Moment | None = None
    reason: ShortText = ""
    prices: list[PriceChange] = Field(default_factory=list, max_length=1_000)


class RentalIntent(RequestModel):
    """Intent to rent a machine, stored before the machine is requested."""

    epoch: Count
    plan: RentalPlan


class RentalMove(RequestModel):
    """New state of a rental, decided when the rental was at `version`."""

    epoch: Count
    version: Count
    status: RentalStatus


class RentalInfo(AnswerModel):
    """Rental of one machine.

    `version` grows with each write. `release_reason`: the operator's reason for
    requesting its release, else empty.
    """

    id: str
    plan: RentalPlan
    status: RentalStatus
    version: int
    release_reason: str = ""

    @property
    def tag(self) -> str:
        return self.plan.tag

    @property
    def is_open(self) -> bool:
        return self.status.state is not RentalState.ENDED


class IntentAnswer(AnswerModel):
    """Stored intent.

    `token` lets the machine's workers register, once per GPU; it is shown only in this response.
    """

    rental: RentalInfo
    token: str = Field(repr=False)


class CodeBundle(AnswerModel):
    """Archive of `size` bytes that machines with a stock image install.

    Workers that may register download it from `trackfarm.protocol.worker.BUNDLE`.
    """

    sha256: Hex64
    size: Count


class RentalReleaseRequest(RequestModel):
    """Request to drain a rental and return its machine."""

    reason: ShortText = "requested by the operator"


class RentedWorker(AnswerModel):
    """Worker on a rented machine.

    `silent_seconds` since its last heartbeat, `idle_seconds` since its last shard; `speed` is
    relative to its GPU type.
    """

    id: str
    tag: str
    state: WorkerState
    gpu: str
    vram: int
    model_set: str
    speed: float
    strikes: int
    tracks_done: int
    silent_seconds: float
    idle_seconds: float
    shards: int


class JobLimits(AnswerModel):
    """Requirements of one active job, without its name.

    `tracks` are unfinished, `deadline` is in seconds from now, `budget` is in $, less the cost of
    its engine seconds so far.
    """

    tracks: int
    deadline: float | None
    budget: float | None


class FleetDemand(AnswerModel):
    """Unfinished work for one model set; `waiting`: unassigned tracks by tier in nominal GB."""

    model_set: str
    shapes: list[ShapeCount]
    waiting: Mapping[int, int]
    jobs: list[JobLimits]


class LearntSpeed(AnswerModel):
    """Learned speed of a GPU type; `stats` is the JSON of `trackfarm.speed_model.SpeedModel`."""

    gpu: str
    model_set: str
    stats: str


class FleetState(AnswerModel):
    """Snapshot of all inputs of the fleet's decisions.

    `rentals` are the open ones and any that ended since the requested time.
    """

    lease: FleetLease
    rentals: list[RentalInfo]
    workers: list[RentedWorker]
    demands: list[FleetDemand]
    speeds: list[LearntSpeed]


class BusyInterval(AnswerModel):
    """Interval in which a worker was busy with one job's tracks.

    `kept`: the tracks were committed. `job` is None if another owner's.
    """

    start: float
    end: float
    kept: bool
    job: str | None


class RentalUsage(AnswerModel):
    """Usage of a rental: busy intervals per worker in order, and committed tracks per job."""

    rental: RentalInfo
    busy: list[list[BusyInterval]]
    tracks: Mapping[str, int]
