"""What is asked of a planner and what it answers, as JSON too (`POST /api/v1/plans`)."""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

MAX_SHAPES = 250_000  # 591 whole seconds, two kinds of guidance, some 200 numbers of steps


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ShapeCount(_Request):
    """`count` tracks alike: `duration` in seconds, `min_vram` the tier they need, nominal GB."""

    duration: float = Field(gt=0, le=3_600)
    steps: int = Field(ge=1, le=1_000)
    guided: bool
    min_vram: int = Field(ge=0, le=10_000)
    count: int = Field(ge=1, le=100_000_000)


class Limits(_Request):
    """What the operator will not exceed: seconds from now, $."""

    deadline_seconds: float | None = Field(default=None, gt=0)
    budget: float | None = Field(default=None, ge=0)

    @property
    def any(self) -> bool:
        return self.deadline_seconds is not None or self.budget is not None


class PlanRequest(_Request):
    """A catalog's tracks by shape, for the farm as it is now."""

    model_set: str
    tracks: list[ShapeCount] = Field(min_length=1, max_length=MAX_SHAPES)
    limits: Limits = Limits()


class Span(_Record):
    """An expected value; `low` to `high` holds four times out of five."""

    low: float
    expected: float
    high: float


class SpeedSource(StrEnum):
    """Where a card's speed comes from. GUESSED: not even the prior table knows the card."""

    MEASURED = "measured"
    PRIOR = "prior"
    GUESSED = "guessed"


class TierTracks(_Record):
    """Tracks by the smallest tier that can make them. `gpu_hours` is None when nobody here can."""

    tier: str
    tracks: int
    audio_hours: float
    gpu_hours: float | None


class GroupShare(_Record):
    """What equal cards of the fleet do and cost: `hours` of all of them together, at `price`
    each an hour, are spent on tracks, starting and waiting."""

    gpu: str
    count: int
    tier: str
    price: float
    tracks: int
    hours: float
    work_hours: float
    boot_hours: float
    idle_hours: float
    cost: float
    source: SpeedSource
    tracks_measured: int
    relative_speed: float


class Unfit(_Record):
    """Tracks that nothing in the fleet can make."""

    tracks: int
    needs: str
    reason: str


class Money(_Record):
    """$; `work`, `boot` and `idle` are parts of the expected `total`. `per_track` is None without
    tracks. `bought` is what as many tracks cost in a bought library."""

    total: Span
    work: float
    boot: float
    idle: float
    per_track: float | None
    bought_per_track: float
    bought: float


class FleetOption(_Record):
    """Another fleet that makes all the tracks."""

    fleet: str
    eta_seconds: Span
    cost: Span


class Chance(StrEnum):
    """Of keeping a limit. LIKELY: nine times out of ten; UNSURE: it is expected to be kept, but
    the high end of the interval does not."""

    LIKELY = "likely"
    UNSURE = "unsure"
    UNLIKELY = "unlikely"


class Verdict(_Record):
    """Whether everything is made within the limits, nine times out of ten. A limit that is not
    set has no chance. `cheapest` and `fastest` are fleets of one kind of card at the price table's
    prices that keep the limits, if any does."""

    kept: bool
    deadline: Chance | None
    budget: Chance | None
    cheapest: FleetOption | None
    fastest: FleetOption | None


class Plan(_Record):
    """What a catalog costs on a fleet and when it is done. `eta_seconds` is None when the fleet
    can make nothing of it; it is for the tracks that fit, as is the cost."""

    model_set: str
    is_noise: bool
    fleet: str
    tracks: int
    audio_hours: float
    gpu_hours: Span
    eta_seconds: Span | None
    cost: Money
    tiers: Sequence[TierTracks]
    groups: Sequence[GroupShare]
    unfit: Sequence[Unfit]
    alternatives: Sequence[FleetOption]
    limits: Limits
    verdict: Verdict | None
    notes: Sequence[str]

    @property
    def is_feasible(self) -> bool:
        """Whether every track can be made, within the limits if there are any."""
        return not self.unfit and (self.verdict is None or self.verdict.kept)
