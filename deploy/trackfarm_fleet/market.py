"""Offers available now; skips offers, hosts and providers that failed recently."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from trackfarm_fleet.providers.port import (
    AuthFailed,
    BadRequest,
    NoCapacity,
    Offer,
    OfferQuery,
    OutOfCredit,
    Provider,
    RateLimited,
    Trouble,
    Unavailable,
)

log = structlog.get_logger(__name__)
OFFER_S, HOST_S, ACCOUNT_S, OUTAGE_S = 300.0, 3600.0, 300.0, 30.0


class Market:
    """The offers of all providers. `now` in seconds since 1970. The list of failures is in memory
    only."""

    def __init__(self, providers: Mapping[str, Provider], *, now: Callable[[], float]) -> None:
        self._providers = providers
        self._now = now
        self._avoided: dict[tuple[str, str], float] = {}

    def offers(self, queries: Sequence[OfferQuery]) -> list[Offer]:
        """List the offers of all providers that can be queried, without the avoided ones."""
        listed: list[Offer] = []
        for name, provider in self._providers.items():
            for query in queries:
                if self._is_avoided(name, ""):
                    break
                answer = provider.offers(query)
                if isinstance(answer, Trouble):
                    self._note(name, answer)
                else:
                    listed += answer
        return [offer for offer in listed if not self._is_shunned(offer)]

    @property
    def is_whole(self) -> bool:
        """True if every provider could be queried recently."""
        return not any(self._is_avoided(name, "") for name in self._providers)

    def refused(self, offer: Offer, trouble: Trouble) -> None:
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

    def _note(self, provider: str, trouble: Trouble) -> None:
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

    def _is_shunned(self, offer: Offer) -> bool:
        names = (f"offer {offer.id}", f"host {offer.host}")
        return any(self._is_avoided(offer.provider, name) for name in names)
