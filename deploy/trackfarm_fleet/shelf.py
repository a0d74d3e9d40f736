"""What providers have on offer, and the words for what they have not: pure."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trackfarm.planning import Prices
from trackfarm.tiers import tier_of
from trackfarm_fleet.decision import Decision
from trackfarm_fleet.providers.port import Offer, OfferQuery

SHOWN = 6  # kinds of cards that a message names
LISTING = "`trackfarm fleet offers` lists all of it"


def at_large(query: OfferQuery) -> OfferQuery:
    """The question for such machines whatever their card and their price."""
    return replace(query, gpus=(), max_price=None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator wants to rent: `vram` in nominal GB of one card at least, `max_price` in $
    an hour for the machine, `budget` in $ for all of it."""

    gpus: tuple[str, ...] = ()
    vram: int = 0
    max_price: float | None = None
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """`is_whole`: every provider could be asked."""

    offers: tuple[Offer, ...]
    prices: Prices
    is_whole: bool = True

    def misnamed(self, gpus: Iterable[str]) -> list[str]:
        """Those of these names that no provider has for a card. A card of the price table that is
        not on offer now has only been sold out."""
        if not self.is_whole:
            return []
        strange = [name for name in gpus if name not in {offer.gpu for offer in self.offers}]
        return [name for name in strange if self._alike(name) or self.prices.card(name) is None]

    def misnaming(self, names: Sequence[str]) -> str:
        """What to say about names that no provider has."""
        guesses = list(dict.fromkeys(guess for name in names for guess in self._alike(name)))
        meant = f"; did you mean {_quoted(guesses[:SHOWN])}?" if guesses else ""
        return f"no card is called {_quoted(names)} here{meant}; {self._stock()}; {LISTING}"

    def shortage(self, asked: Asked, decision: Decision) -> str:
        """Why nothing can be rented, and what to do about it."""
        return self.lack(asked) or self._poverty(asked, decision)

    def lack(self, asked: Asked) -> str | None:
        """What is asked for and not on offer, and what to do about it; None when it is."""
        able = [offer for offer in self.offers if _vram(offer) >= asked.vram]
        named = [offer for offer in able if not asked.gpus or offer.gpu in asked.gpus]
        least = min((offer.price_per_hour for offer in named), default=0.0)
        if not able:
            need = f"a card of {asked.vram} GB" if asked.vram else "a machine"
            return f"{need} is not to be had; {self._stock()}; try again later, or elsewhere"
        if not named:
            remedy = "name one of these, or leave --gpu out"
            return f"no {' or '.join(asked.gpus)} is to be had; {self._stock()}; {remedy}"
        if asked.max_price is not None and least > asked.max_price:
            return (
                f"nothing is to be had for ${asked.max_price:.3f} an hour; {self._stock()};"
                f" the cheapest that will do needs --max-price {least:.3f}"
            )
        return None

    def _poverty(self, asked: Asked, decision: Decision) -> str:
        if asked.budget is None or not (decision.short_of_money or asked.budget <= 0):
            return f"{decision.words}; {self._stock()}"
        needed = max(decision.least_cost or 0.0, 0.01)
        return (
            f"a budget of ${asked.budget:.2f} pays for no machine; {self._stock()}; to start the"
            f" cheapest that will do and to work for a while takes --budget {needed + 0.005:.2f}"
        )

    def _alike(self, name: str) -> list[str]:
        """Cards on offer that somebody may have meant."""
        cards = list(dict.fromkeys(offer.gpu for offer in self.offers))
        same = [card for card in cards if self._is_same(card, name)]
        near = {card.lower(): card for card in cards}
        close = difflib.get_close_matches(name.lower()[:100], near, n=1)
        return same or [near[match] for match in close]

    def _is_same(self, card: str, name: str) -> bool:
        known = self.prices.card(name)
        return name.lower() in card.lower() or (
            known is not None and self.prices.card(card) == known
        )

    def _stock(self) -> str:
        """The cheapest of each kind, cheapest first."""
        prices: dict[str, float] = {}
        for offer in sorted(self.offers, key=lambda offer: offer.price_per_hour):
            prices.setdefault(offer.gpu, offer.price_per_hour)
        if not prices:
            whole = "" if self.is_whole else " by the providers that could be asked"
            return f"nothing is on offer now{whole}"
        shown = [f"{gpu} at ${price:.3f}" for gpu, price in prices.items()][:SHOWN]
        more = f" and {len(prices) - SHOWN} more kinds" if len(prices) > SHOWN else ""
        return f"on offer are {', '.join(shown)}{more}"


def _vram(offer: Offer) -> int:
    tier = tier_of(offer.memory_mib)
    return tier.vram if tier is not None else 0


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
