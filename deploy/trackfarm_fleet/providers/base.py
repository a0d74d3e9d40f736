"""Interface of a provider of machines, and its errors.

Errors are return values, because renting fails routinely. Prices in $ an hour for the whole
machine, durations in seconds, times in seconds since 1970.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from trackfarm.tiers import MIB_PER_GIB, NOMINAL_SHARE

CPU = "cpu"  # GPU name of a machine without one


@dataclass(frozen=True, slots=True)
class OfferQuery:
    """Filter for offers: `gpus` by the provider's names (empty: any), `min_vram` in nominal GB of
    one GPU, `cards` GPUs in the machine, `disk_gb` in GB, `max_price` in $ an hour."""

    gpus: tuple[str, ...] = ()
    min_vram: int = 0
    cards: int = 1
    disk_gb: int = 50
    max_price: float | None = None
    interruptible: bool = False


@dataclass(frozen=True, slots=True)
class MachineOffer:
    """A machine that may be available: an offer is no reservation.

    `id` is meaningful to its provider only. `memory_mib` is that of one GPU, `count` the number of
    such machines that can be requested. `price_per_hour` of an interruptible machine is its price
    at the lowest bid that wins now (`min_bid`). `free_boot`: it is not billed until its container
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

    def matches(self, query: OfferQuery) -> bool:
        """Return True if the offer matches the query; disk size is not compared."""
        return (
            self.gpus == query.cards
            and self.interruptible == query.interruptible
            and (not query.gpus or self.gpu in query.gpus)
            # Nominal GB are not exact: see `trackfarm.tiers`.
            and self.memory_mib >= NOMINAL_SHARE * MIB_PER_GIB * query.min_vram
            and (query.max_price is None or self.price_per_hour <= query.max_price)
        )


@dataclass(frozen=True, slots=True)
class RentalRequest:
    """A request for a machine. `tag` is unique and already stored in the scheduler; `command` is
    run in `image`, empty for its own; `env` and `secrets` form the worker's environment; `bid` in $
    an hour makes the rental interruptible."""

    tag: str
    offer: MachineOffer
    image: str
    command: tuple[str, ...] = ()
    disk_gb: int = 50
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    bid: float | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment with the secrets in clear text: only for the request itself."""
        hidden = {name: value.get_secret_value() for name, value in self.secrets.items()}
        return {**self.env, **hidden}


class InstanceState(StrEnum):
    """State of a machine as its provider reports it.

    STOPPED: it may resume by itself (outbid), and its disk costs money. BROKEN: it never will.
    ENDED: it is listed but gone, and costs nothing.
    """

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    BROKEN = "broken"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine as its provider lists it. `price_per_hour` is its current price; `detail` is the
    provider's own word for its state."""

    provider: str
    id: str
    tag: str
    state: InstanceState
    gpu: str = ""
    gpus: int = 1
    price_per_hour: float = 0.0
    region: str = ""
    host: str = ""
    min_bid: float | None = None
    created_at: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProviderError:
    """An error of a call; its subclass determines the reaction."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoCapacity(ProviderError):
    """The machine is taken or not available to us: try the next offer."""


@dataclass(frozen=True, slots=True)
class RateLimited(ProviderError):
    """Too many requests: try again after `retry_after` seconds."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class AuthFailed(ProviderError):
    """The API key is invalid or lacks a permission: only the operator can fix it."""


@dataclass(frozen=True, slots=True)
class OutOfCredit(ProviderError):
    """The account is out of credit: only a payment can fix it."""


@dataclass(frozen=True, slots=True)
class Unavailable(ProviderError):
    """The provider is unreachable or broken. `may_have_run`: the request may have been executed."""

    may_have_run: bool = True


@dataclass(frozen=True, slots=True)
class BadRequest(ProviderError):
    """The request is invalid: a retry will not help."""


@dataclass(frozen=True, slots=True)
class NotFound(ProviderError):
    """The machine does not exist."""


class Provider(Protocol):
    """One account. `instances` and `terminate` may be repeated freely; so may `create`, because it
    looks for the tag first, and again if the response was lost."""

    @property
    def name(self) -> str:
        """The value of a rental's column `provider`: runpod, vast, local, manual."""
        ...

    def offers(self, query: OfferQuery) -> Sequence[MachineOffer] | ProviderError:
        """List the offers available now, cheapest first."""
        ...

    def create(self, request: RentalRequest) -> Instance | ProviderError:
        """Rent a machine, or return the one that already has the tag. After Unavailable with
        `may_have_run` the machine may exist, and `instances` will list it by its tag."""
        ...

    def instances(self) -> Sequence[Instance] | ProviderError:
        """List every machine of the account with our tag prefix; an incomplete list is an error."""
        ...

    def terminate(self, instance_id: str) -> ProviderError | None:
        """Request the end of a machine; `instances` shows when it is gone. Also None if there is no
        such machine."""
        ...


@runtime_checkable
class Invoicing(Protocol):
    """A provider that reports its charge for each machine, some time after the machine ended."""

    def charged(self, since: float) -> Mapping[str, float] | ProviderError:
        """Return the $ charged since then by machine id: the full amount if the machine began since
        then."""
        ...


@runtime_checkable
class Bidding(Protocol):
    """A provider with interruptible machines and changeable bids."""

    def change_bid(self, instance_id: str, price_per_hour: float) -> ProviderError | None:
        """Change the bid, in $ an hour for the whole machine."""
        ...
