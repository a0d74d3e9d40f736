"""Offers available now, without the ones that failed recently, and explanations when none fits."""

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
# How long an offer, a host, an account and an unreachable provider are avoided.
OFFER_S, HOST_S, ACCOUNT_S, OUTAGE_S = 300.0, 3600.0, 300.0, 30.0
MAX_LISTED = 6  # GPU types that a message lists
LIST_HINT = "`trackfarm fleet offers` lists all offers"


def without_limits(query: OfferQuery) -> OfferQuery:
    """Return the query without limits on GPU and price."""
    return replace(query, gpus=(), max_price=None)


class OfferMarket:
    """The offers of all providers. `now` in seconds since 1970. The list of failures is in memory
    only."""

    def __init__(self, providers: Mapping[str, Provider], *, now: Callable[[], float]) -> None:
        self._providers = providers
        self._now = now
        self._avoided_until: dict[tuple[str, str], float] = {}

    def offers(self, queries: Sequence[OfferQuery]) -> list[MachineOffer]:
        """List the offers of all providers that can be queried, without the avoided ones."""
        listed: list[MachineOffer] = []
        for name, provider in self._providers.items():
            for query in queries:
                if self._is_avoided(name, ""):
                    break
                answer = provider.offers(query)
                if isinstance(answer, ProviderError):
                    self._record_error(name, answer)
                else:
                    listed += answer
        return [offer for offer in listed if not self._is_offer_avoided(offer)]

    @property
    def is_complete(self) -> bool:
        """True if every provider could be queried recently."""
        return not any(self._is_avoided(name, "") for name in self._providers)

    def record_failure(self, offer: MachineOffer, error: ProviderError) -> None:
        """Record a create call that failed without making a machine."""
        log.warning(
            "rental_create_failed", provider=offer.provider, gpu=offer.gpu, why=error.detail
        )
        if isinstance(error, NoCapacity | BadRequest):
            self._avoid(offer.provider, f"offer {offer.id}", OFFER_S)
        else:
            self._record_error(offer.provider, error)

    def avoid_host(self, provider: str, host: str) -> None:
        """Avoid a host for a while, after one of its machines was unusable."""
        if host:
            self._avoid(provider, f"host {host}", HOST_S)

    def _record_error(self, provider: str, error: ProviderError) -> None:
        log.warning("provider_call_failed", provider=provider, why=error.detail)
        match error:
            case RateLimited(retry_after=seconds):
                self._avoid(provider, "", seconds)
            case AuthFailed() | OutOfCredit():
                self._avoid(provider, "", ACCOUNT_S)
            case Unavailable():
                self._avoid(provider, "", OUTAGE_S)

    def _avoid(self, provider: str, name: str, seconds: float) -> None:
        """Avoid an offer or a host, or the whole provider if `name` is empty."""
        self._avoided_until[provider, name] = self._now() + seconds

    def _is_avoided(self, provider: str, name: str) -> bool:
        return self._avoided_until.get((provider, name), 0.0) > self._now()

    def _is_offer_avoided(self, offer: MachineOffer) -> bool:
        names = (f"offer {offer.id}", f"host {offer.host}")
        return any(self._is_avoided(offer.provider, name) for name in names)


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
    """The offers; `is_complete`: every provider could be queried."""

    offers: tuple[MachineOffer, ...]
    prices: Prices
    is_complete: bool = True

    def unknown_gpus(self, gpus: Iterable[str]) -> list[str]:
        """Return the names that no provider uses for a GPU. A GPU of the price table without offers
        is only sold out."""
        if not self.is_complete:
            return []
        offered = {offer.gpu for offer in self.offers}
        return [
            name
            for name in gpus
            if name not in offered and (self._similar_gpus(name) or self.prices.card(name) is None)
        ]

    def explain_unknown_gpus(self, names: Sequence[str]) -> str:
        """Explain that these GPU names are unknown."""
        guesses = list(dict.fromkeys(guess for name in names for guess in self._similar_gpus(name)))
        meant = f"; did you mean {_quoted(guesses[:MAX_LISTED])}?" if guesses else ""
        return f"no GPU is named {_quoted(names)}{meant}; {self._stock_text()}; {LIST_HINT}"

    def explain_no_rental(self, request: OfferFilter, decision: ScalingDecision) -> str:
        """Explain why nothing can be rented, and how to change that."""
        return self.explain_no_offer(request) or self._explain_budget(request, decision)

    def explain_no_offer(self, request: OfferFilter) -> str | None:
        """Explain which part of the request no offer meets, and how to change that; None if an
        offer meets it."""
        suitable = [offer for offer in self.offers if _vram(offer) >= request.vram]
        matching = [offer for offer in suitable if not request.gpus or offer.gpu in request.gpus]
        cheapest = min((offer.price_per_hour for offer in matching), default=0.0)
        stock = self._stock_text()
        if not suitable:
            memory = f" with at least {request.vram} GB of GPU memory" if request.vram else ""
            remedy = "try again later, or another provider"
            return f"no machine{memory} is available; {stock}; {remedy}"
        if not matching:
            remedy = "name one of these, or leave --gpu out"
            return f"no {' or '.join(request.gpus)} is available; {stock}; {remedy}"
        if request.max_price is not None and cheapest > request.max_price:
            return (
                f"no machine costs ${request.max_price:.3f} an hour or less; {stock};"
                f" the cheapest suitable one needs --max-price {cheapest:.3f}"
            )
        return None

    def _explain_budget(self, request: OfferFilter, decision: ScalingDecision) -> str:
        budget = request.budget
        if budget is None or not (decision.is_short_of_money or budget <= 0):
            return f"{decision.summary}; {self._stock_text()}"
        needed = max(decision.min_start_cost or 0.0, 0.01)
        return (
            f"a budget of ${budget:.2f} is too small for any machine; {self._stock_text()};"
            f" starting the cheapest suitable one needs --budget {needed + 0.005:.2f}"
        )

    def _similar_gpus(self, name: str) -> list[str]:
        """Return GPUs on offer with a similar name."""
        cards = list(dict.fromkeys(offer.gpu for offer in self.offers))
        same = [card for card in cards if self._is_same(card, name)]
        by_lower_name = {card.lower(): card for card in cards}
        close = difflib.get_close_matches(name.lower()[:100], by_lower_name, n=1)
        return same or [by_lower_name[match] for match in close]

    def _is_same(self, card: str, name: str) -> bool:
        gpu = self.prices.card(name)
        return name.lower() in card.lower() or (gpu is not None and self.prices.card(card) == gpu)

    def _stock_text(self) -> str:
        """List the cheapest offer of each GPU, cheapest first."""
        prices: dict[str, float] = {}
        for offer in sorted(self.offers, key=lambda offer: offer.price_per_hour):
            prices.setdefault(offer.gpu, offer.price_per_hour)
        if not prices:
            limit = "" if self.is_complete else " from the providers that could be queried"
            return f"there are no offers now{limit}"
        listed = [f"{gpu} at ${price:.3f}" for gpu, price in prices.items()][:MAX_LISTED]
        rest = len(prices) - MAX_LISTED
        more = f" and {rest} more GPU types" if rest > 0 else ""
        return f"on offer: {', '.join(listed)}{more}"


def _vram(offer: MachineOffer) -> int:
    tier = tier_of(offer.memory_mib)
    return tier.vram if tier is not None else 0


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
