"""What the fleet and the scheduler say to each other over HTTP (`/api/v1/fleet`).

Only the scheduler opens the database, so the fleet writes its rentals down through these calls:
an intent before a machine is asked for, and every move after that. Moments in seconds since 1970 by
the clock of who writes them, money in $ and $ an hour for the whole machine.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from trackfarm.api import WorkerState
from trackfarm.planning.records import ShapeCount
from trackfarm.wire import Count, Hex64, ShortText

Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,60}$")]
Purpose = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{0,40}$")]
LONGEST_TERM = 600.0


class RentalState(StrEnum):
    INTENDED = "intended"
    CREATED = "created"
    BOOTING = "booting"
    JOINED = "joined"
    DRAINING = "draining"
    ENDING = "ending"
    ENDED = "ended"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TermRequest(_Request):
    """Who wants to lead the fleet for so many seconds; who leads renews its term so."""

    holder: ShortText = Field(min_length=1)
    seconds: float = Field(gt=0, le=LONGEST_TERM)


class Term(_Record):
    """Who leads, and for how many `seconds` more (0: nobody does). `epoch` grows whenever another
    takes over: what is written under an older one is refused. `farm` is in the tags of this farm's
    machines and of no other's."""

    farm: str
    holder: str
    epoch: int
    seconds: float


class PriceChange(_Request):
    """From `at` on the machine cost so much; `stopped`: and did nothing for it."""

    at: Moment
    price_per_hour: Dollars
    stopped: bool = False


class RentalPlan(_Request):
    """What is known of a machine before it is asked for. `vram` (nominal GB) and `gpus` are what it
    should have, `ready_in` the seconds after which it should work, `purpose` the job that it is
    rented for, empty for all."""

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


class Standing(_Request):
    """What changes in the life of a rental, whose owner is `trackfarm_fleet.rental`. `extra` in $:
    what machines cost that were made for it a second time by mistake; `charged`: what its provider's
    bill says of its own, where that is known."""

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


class Intent(_Request):
    """Written before a machine is asked for."""

    epoch: Count
    plan: RentalPlan


class Move(_Request):
    """The new standing of the rental that was at `version` when it was decided."""

    epoch: Count
    version: Count
    standing: Standing


class Rental(_Record):
    """`version` grows with each write. `dismissed`: why the operator wants it gone, else empty."""

    id: str
    plan: RentalPlan
    standing: Standing
    version: int
    dismissed: str = ""

    @property
    def tag(self) -> str:
        return self.plan.tag

    @property
    def is_open(self) -> bool:
        return self.standing.state is not RentalState.ENDED


class Intended(_Record):
    """`token` lets the machine's workers join, one use for each card; it is told this once."""

    rental: Rental
    token: str = Field(repr=False)


class Bundle(_Record):
    """What machines with a stock image install: an archive of so many bytes at
    `trackfarm.wire.BUNDLE`, for whoever may join."""

    sha256: Hex64
    size: Count


class Dismissal(_Request):
    reason: ShortText = "the operator wants it gone"


class RentedWorker(_Record):
    """A worker from a rented machine. `silent` seconds since its last heartbeat, `idle` since it
    had a shard; `speed` compared to its kind of card."""

    id: str
    tag: str
    state: WorkerState
    gpu: str
    vram: int
    model_set: str
    speed: float
    strikes: int
    tracks_done: int
    silent: float
    idle: float
    shards: int


class JobLimits(_Record):
    """What one moving job asks of the fleet, without its name: `tracks` are not done, `deadline` in
    seconds from now, `budget` in $ that its engine seconds have not spent."""

    tracks: int
    deadline: float | None
    budget: float | None


class Demand(_Record):
    """Everything that is not done for one model set; `waiting`: tracks that no worker has, by tier
    in nominal GB."""

    model_set: str
    shapes: list[ShapeCount]
    waiting: Mapping[int, int]
    jobs: list[JobLimits]


class LearntSpeed(_Record):
    """`stats` is what `trackfarm.speed.SpeedModel` writes."""

    gpu: str
    model_set: str
    stats: str


class FleetSituation(_Record):
    """All that the fleet decides by, in one look. `rentals` are the open ones and those that ended
    since the time that was asked for."""

    term: Term
    rentals: list[Rental]
    workers: list[RentedWorker]
    demands: list[Demand]
    speeds: list[LearntSpeed]


class Stretch(_Record):
    """A worker was busy with one job's tracks; `kept`: they were committed. `job` is None where it
    is another owner's."""

    start: float
    end: float
    kept: bool
    job: str | None


class Stay(_Record):
    """What became of a rental's time: the stretches of each of its workers, one after the other,
    and the tracks that each job kept."""

    rental: Rental
    busy: list[list[Stretch]]
    tracks: Mapping[str, int]
