"""What the fleet asks of a provider of machines, and what it may be answered.

Refusals are values, because renting fails as a matter of course. Money in $ an hour for the whole
machine, time in seconds, moments in seconds since 1970.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from trackfarm.tiers import MIB_PER_GIB, NOMINAL_SHARE


@dataclass(frozen=True, slots=True)
class OfferQuery:
    """What may be rented: `gpus` by the names of the provider (none: any), `min_vram` in nominal
    GB of one card, `cards` of them in the machine, `disk_gb` in GB, `max_price` in $ an hour."""

    gpus: tuple[str, ...] = ()
    min_vram: int = 0
    cards: int = 1
    disk_gb: int = 50
    max_price: float | None = None
    interruptible: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine that can be had, perhaps: an offer is no reservation.

    `id` means something to its provider only. `memory_mib` is that of one card, `count` how many
    such machines may be asked for. `price_per_hour` of an interruptible machine is what the lowest
    bid that wins now (`min_bid`) makes it cost. `free_boot`: it is not charged until its container
    runs.
    """

    provider: str
    id: str
    gpu: str
    gpus: int
    memory_mib: int
    price_per_hour: float
    region: str = ""
    host: str = ""
    count: int = 1
    min_bid: float | None = None
    download_mbps: float | None = None
    reliability: float | None = None
    free_boot: bool = False

    @property
    def interruptible(self) -> bool:
        return self.min_bid is not None

    def meets(self, query: OfferQuery) -> bool:
        """Whether it is what the query asks for, disk apart."""
        return (
            self.gpus == query.cards
            and self.interruptible == query.interruptible
            and (not query.gpus or self.gpu in query.gpus)
            # Nobody's GB is exact: see `trackfarm.tiers`.
            and self.memory_mib >= NOMINAL_SHARE * MIB_PER_GIB * query.min_vram
            and (query.max_price is None or self.price_per_hour <= query.max_price)
        )


@dataclass(frozen=True, slots=True)
class RentalRequest:
    """`tag` is unique and was written down before; `command` is what `image` runs, empty for its
    own; `env` and `secrets` are what the machine's worker finds in its environment; `bid` in $ an
    hour makes the rental interruptible."""

    tag: str
    offer: Offer
    image: str
    command: tuple[str, ...] = ()
    disk_gb: int = 50
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    bid: float | None = None

    def environment(self) -> dict[str, str]:
        """With the secrets in clear text: only for the request itself."""
        hidden = {name: value.get_secret_value() for name, value in self.secrets.items()}
        return {**self.env, **hidden}


class Observed(StrEnum):
    """What a provider says about a machine.

    STOPPED: it may come back by itself (outbid), and its disk costs money. BROKEN: it never will.
    ENDED: it is listed but costs nothing and is gone.
    """

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    BROKEN = "broken"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine as its provider lists it. `price_per_hour` is what it costs now; `detail` is the
    provider's own word for its state."""

    provider: str
    id: str
    tag: str
    state: Observed
    gpu: str = ""
    gpus: int = 1
    price_per_hour: float = 0.0
    region: str = ""
    host: str = ""
    min_bid: float | None = None
    created_at: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that did not do what it was asked; the kind says what to do about it."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoCapacity(Trouble):
    """Somebody else has it, or it may not be had: try the next offer."""


@dataclass(frozen=True, slots=True)
class RateLimited(Trouble):
    """Ask again after `retry_after` seconds."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class AuthFailed(Trouble):
    """The key is wrong or may not do this: nothing helps but the operator."""


@dataclass(frozen=True, slots=True)
class OutOfCredit(Trouble):
    """The account is empty: nothing helps but money."""


@dataclass(frozen=True, slots=True)
class Unavailable(Trouble):
    """The provider is away or broken. `maybe_done`: it may have done what it was asked."""

    maybe_done: bool = True


@dataclass(frozen=True, slots=True)
class BadRequest(Trouble):
    """We asked wrongly: asking again will not help."""


@dataclass(frozen=True, slots=True)
class Gone(Trouble):
    """There is no such machine."""


class Provider(Protocol):
    """One account. `instances` and `terminate` may be repeated at will; so may `create`, because
    it looks for the tag first, and afterwards when the answer was lost."""

    @property
    def name(self) -> str:
        """As in the column `provider` of a rental: runpod, vast, local, manual."""
        ...

    def offers(self, query: OfferQuery) -> Sequence[Offer] | Trouble:
        """What can be rented now, cheapest first."""
        ...

    def create(self, request: RentalRequest) -> Instance | Trouble:
        """Rents a machine, or finds the one that carries the tag already. After Unavailable with
        `maybe_done` the machine may exist, and `instances` will show it by its tag."""
        ...

    def instances(self) -> Sequence[Instance] | Trouble:
        """Every machine of the account with the prefix of our tags, complete or not at all."""
        ...

    def terminate(self, instance_id: str) -> Trouble | None:
        """Asks for the end of a machine, for which `instances` is to be watched. None as well when
        there is no such machine."""
        ...


@runtime_checkable
class Invoicing(Protocol):
    """A provider that says what it charged for each machine, some time after the machine ended."""

    def charged(self, since: float) -> Mapping[str, float] | Trouble:
        """$ for each machine that cost anything since then, by its id: all of it, when the machine
        began since then."""
        ...


@runtime_checkable
class Bidding(Protocol):
    """A provider whose interruptible machines have a bid that can be changed."""

    def change_bid(self, instance_id: str, price_per_hour: float) -> Trouble | None:
        """For the whole machine."""
        ...
