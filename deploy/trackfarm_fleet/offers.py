"""Offers available now; skips offers, hosts and providers that failed recently.

Catalog of current offers, and explanations when none fits. Pure.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from trackfarm.planning import Prices
from trackfarm.tiers import tier_of
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.providers.base import (
    AuthFailed,
    BadRequest,
    MachineOffer,
    NoCapacity,
    OfferQuery,
    OutOfCredit,
    Provider,
    ProviderError,
    RateLimited,
    Unavailable,
)

log = structlog.get_logger(__name__)
OFFER_S, HOST_S, ACCOUNT_S, OUTAGE_S = 300.0, 3600.0, 300.0, 30.0


class OfferMarket:
    """The offers of all providers. `now` in seconds since 1970. The list of failures is in memory
    only."""

    def __init__(self, providers: Mapping[str, Provider], *, now: Callable[[], float]) -> None:
        self._providers = providers
        self._now = now
        self._avoided: dict[tuple[str, str], float] = {}

    def offers(self, queries: Sequence[OfferQuery]) -> list[MachineOffer]:
        """List the offers of all providers that can be queried, without the avoided ones."""
        listed: list[MachineOffer] = []
        for name, provider in self._providers.items():
            for query in queries:
                if self._is_avoided(name, ""):
                    break
                answer = provider.offers(query)
                if isinstance(answer, ProviderError):
                    self._note(name, answer)
                else:
                    listed += answer
        return [offer for offer in listed if not self._is_shunned(offer)]

    @property
    def is_whole(self) -> bool:
        """True if every provider could be queried recently."""
        return not any(self._is_avoided(name, "") for name in self._providers)

    def refused(self, offer: MachineOffer, trouble: ProviderError) -> None:
        """Record a create call that failed without making a machine."""
        log.warning(
            "rental_create_failed", provider=offer.provider, gpu=offer.gpu, why=trouble.detail
        )
        if isinstance(trouble, NoCapacity | BadRequest):
            self._avoid(offer.provider, f"offer {offer.id}", OFFER_S)
        else:
            self._note(offer.provider, trouble)

    def shun(self, provider: str, host: str) -> None:
        """Avoid a host for a while, after one of its machines was unusable."""
        if host:
            self._avoid(provider, f"host {host}", HOST_S)

    def _note(self, provider: str, trouble: ProviderError) -> None:
        log.warning("provider_call_failed", provider=provider, why=trouble.detail)
        match trouble:
            case RateLimited(retry_after=seconds):
                self._avoid(provider, "", seconds)
            case AuthFailed() | OutOfCredit():
                self._avoid(provider, "", ACCOUNT_S)
            case Unavailable():
                self._avoid(provider, "", OUTAGE_S)

    def _avoid(self, provider: str, what: str, seconds: float) -> None:
        self._avoided[provider, what] = self._now() + seconds

    def _is_avoided(self, provider: str, what: str) -> bool:
        return self._avoided.get((provider, what), 0.0) > self._now()

    def _is_shunned(self, offer: MachineOffer) -> bool:
        names = (f"offer {offer.id}", f"host {offer.host}")
        return any(self._is_avoided(offer.provider, name) for name in names)


SHOWN = 6  # GPU types that a message lists
LISTING = "`trackfarm fleet offers` lists all offers"


def at_large(query: OfferQuery) -> OfferQuery:
    """Return the query without limits on GPU and price."""
    return replace(query, gpus=(), max_price=None)


@dataclass(frozen=True, slots=True)
class OfferFilter:
    """The operator's request: `vram` is the least memory in nominal GB of one GPU, `max_price` in $
    an hour for the machine, `budget` in $ in all."""

    gpus: tuple[str, ...] = ()
    vram: int = 0
    max_price: float | None = None
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class OfferCatalog:
    """The offers; `is_whole`: every provider could be queried."""

    offers: tuple[MachineOffer, ...]
    prices: Prices
    is_whole: bool = True

    def misnamed(self, gpus: Iterable[str]) -> list[str]:
        """Return the names that no provider uses for a GPU. A GPU of the price table without offers
        is only sold out."""
        if not self.is_whole:
            return []
        strange = [name for name in gpus if name not in {offer.gpu for offer in self.offers}]
        return [name for name in strange if self._alike(name) or self.prices.card(name) is None]

    def misnaming(self, names: Sequence[str]) -> str:
        """Explain that these GPU names are unknown."""
        guesses = list(dict.fromkeys(guess for name in names for guess in self._alike(name)))
        meant = f"; did you mean {_quoted(guesses[:SHOWN])}?" if guesses else ""
        return f"no GPU is named {_quoted(names)}{meant}; {self._stock()}; {LISTING}"

    def shortage(self, asked: OfferFilter, decision: ScalingDecision) -> str:
        """Explain why nothing can be rented, and how to change that."""
        return self.lack(asked) or self._poverty(asked, decision)

    def lack(self, asked: OfferFilter) -> str | None:
        """Explain which part of the request no offer meets, and how to change that; None if an
        offer meets it."""
        suitable = [offer for offer in self.offers if _vram(offer) >= asked.vram]
        matching = [offer for offer in suitable if not asked.gpus or offer.gpu in asked.gpus]
        least = min((offer.price_per_hour for offer in matching), default=0.0)
        if not suitable:
            need = (
                f"machine with at least {asked.vram} GB of GPU memory" if asked.vram else "machine"
            )
            return f"no {need} is available; {self._stock()}; try again later, or another provider"
        if not matching:
            remedy = "name one of these, or leave --gpu out"
            return f"no {' or '.join(asked.gpus)} is available; {self._stock()}; {remedy}"
        if asked.max_price is not None and least > asked.max_price:
            return (
                f"no machine costs ${asked.max_price:.3f} an hour or less; {self._stock()};"
                f" the cheapest suitable one needs --max-price {least:.3f}"
            )
        return None

    def _poverty(self, asked: OfferFilter, decision: ScalingDecision) -> str:
        if asked.budget is None or not (decision.short_of_money or asked.budget <= 0):
            return f"{decision.words}; {self._stock()}"
        needed = max(decision.least_cost or 0.0, 0.01)
        return (
            f"a budget of ${asked.budget:.2f} is too small for any machine; {self._stock()};"
            f" starting the cheapest suitable one needs --budget {needed + 0.005:.2f}"
        )

    def _alike(self, name: str) -> list[str]:
        """Return GPUs on offer with a similar name."""
        cards = list(dict.fromkeys(offer.gpu for offer in self.offers))
        same = [card for card in cards if self._is_same(card, name)]
        near = {card.lower(): card for card in cards}
        close = difflib.get_close_matches(name.lower()[:100], near, n=1)
        return same or [near[match] for match in close]

    def _is_same(self, card: str, name: str) -> bool:
        gpu = self.prices.card(name)
        return name.lower() in card.lower() or (gpu is not None and self.prices.card(card) == gpu)

    def _stock(self) -> str:
        """List the cheapest offer of each GPU, cheapest first."""
        prices: dict[str, float] = {}
        for offer in sorted(self.offers, key=lambda offer: offer.price_per_hour):
            prices.setdefault(offer.gpu, offer.price_per_hour)
        if not prices:
            whole = "" if self.is_whole else " from the providers that could be queried"
            return f"there are no offers now{whole}"
        shown = [f"{gpu} at ${price:.3f}" for gpu, price in prices.items()][:SHOWN]
        more = f" and {len(prices) - SHOWN} more GPU types" if len(prices) > SHOWN else ""
        return f"on offer: {', '.join(shown)}{more}"


def _vram(offer: MachineOffer) -> int:
    tier = tier_of(offer.memory_mib)
    return tier.vram if tier is not None else 0


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
