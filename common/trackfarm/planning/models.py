"""Request and response of the planner, also as JSON (`POST /api/v1/plans`)."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

MAX_SHAPES = 250_000  # 591 whole seconds, two kinds of guidance, some 200 numbers of steps


class _PlanModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _PlanRequestModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ShapeCount(_PlanRequestModel):
    """Number of equal tracks.

    `duration` in seconds; `min_vram` is the tier they need, in nominal GB.
    """

    duration: float = Field(gt=0, le=3_600)
    steps: int = Field(ge=1, le=1_000)
    guided: bool
    min_vram: int = Field(ge=0, le=10_000)
    count: int = Field(ge=1, le=100_000_000)


class PlanLimits(_PlanRequestModel):
    """Limits set by the operator: deadline in seconds from now, budget in $."""

    deadline_seconds: float | None = Field(default=None, gt=0)
    budget: float | None = Field(default=None, ge=0)

    @property
    def any(self) -> bool:
        return self.deadline_seconds is not None or self.budget is not None


class PlanRequest(_PlanRequestModel):
    """Tracks of a catalog by shape, to be planned for the farm's current workers."""

    model_set: str
    tracks: list[ShapeCount] = Field(min_length=1, max_length=MAX_SHAPES)
    limits: PlanLimits = PlanLimits()


class Interval(_PlanModel):
    """An expected value; `low` to `high` holds four times out of five."""

    low: float
    expected: float
    high: float


class SpeedSource(StrEnum):
    """Source of a card's speed. GUESSED: not even the prior table has the card."""

    MEASURED = "measured"
    PRIOR = "prior"
    GUESSED = "guessed"


class TierTracks(_PlanModel):
    """Tracks by the smallest tier that can make them.

    `gpu_hours` is None if nothing in the fleet can.
    """

    tier: str
    tracks: int
    audio_hours: float
    gpu_hours: float | None


class GroupShare(_PlanModel):
    """Work and cost of equal cards of the fleet.

    `hours` of all of them together, at `price` an hour each, are spent on tracks, booting and
    idling.
    """

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


class DoesNotFit(_PlanModel):
    """Tracks that no card in the fleet can make."""

    tracks: int
    needs: str
    reason: str


class Money(_PlanModel):
    """Cost in $.

    `work`, `boot` and `idle` are parts of the expected `total`. `per_track` is None without tracks.
    `bought` is the cost of as many tracks from a bought library.
    """

    total: Interval
    work: float
    boot: float
    idle: float
    per_track: float | None
    bought_per_track: float
    bought: float


class FleetOption(_PlanModel):
    """Another fleet that makes all the tracks."""

    fleet: str
    eta_seconds: Interval
    cost: Interval


class Chance(StrEnum):
    """Chance of keeping a limit.

    LIKELY: nine times out of ten; UNSURE: the expected value keeps it, but the high end of the
    interval does not.
    """

    LIKELY = "likely"
    UNSURE = "unsure"
    UNLIKELY = "unlikely"


class TargetVerdict(_PlanModel):
    """Result of comparing a plan with its limits.

    `kept`: all tracks are made within the limits, nine times out of ten. A limit that is not set
    has no chance. `cheapest` and `fastest` are fleets of one GPU type at the price table's prices
    that keep the limits, if there are any.
    """

    kept: bool
    deadline: Chance | None
    budget: Chance | None
    cheapest: FleetOption | None
    fastest: FleetOption | None


class Plan(_PlanModel):
    """Cost and completion time of a catalog on a fleet.

    `eta_seconds` is None if the fleet can make none of it; it and the cost cover the tracks that
    fit.
    """

    model_set: str
    is_noise: bool
    fleet: str
    tracks: int
    audio_hours: float
    gpu_hours: Interval
    eta_seconds: Interval | None
    cost: Money
    tiers: Sequence[TierTracks]
    groups: Sequence[GroupShare]
    unfit: Sequence[DoesNotFit]
    alternatives: Sequence[FleetOption]
    limits: PlanLimits
    verdict: TargetVerdict | None
    notes: Sequence[str]

    @property
    def is_feasible(self) -> bool:
        """True if every track can be made, within the limits if there are any."""
        return not self.unfit and (self.verdict is None or self.verdict.kept)

    def with_notes(self, notes: Sequence[str]) -> Self:
        return self.model_copy(update={"notes": [*self.notes, *notes]})
