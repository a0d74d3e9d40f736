"""Explanations when no offer fits."""

import pytest

from trackfarm.planning import built_in_prices
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.offers import OfferCatalog, OfferFilter
from trackfarm_fleet.providers.base import MachineOffer

NOTHING = ScalingDecision((), (), (), (), finish=0.0, cost=0.0, words="rent 0")
POOR = ScalingDecision(
    (), (), (), (), finish=0.0, cost=0.0, words="", short_of_money=True, least_cost=0.137
)
A40, CARD = "NVIDIA A40", "NVIDIA GeForce RTX 4090"


def offer(gpu: str, price: float, memory: int = 24_564) -> MachineOffer:
    return MachineOffer("runpod", f"{gpu}-{price}", gpu, 1, memory, price)


def shelf(*offers: MachineOffer, is_whole: bool = True) -> OfferCatalog:
    return OfferCatalog(offers, built_in_prices(), is_whole=is_whole)


STOCK = shelf(offer(CARD, 0.5), offer(CARD, 0.34), offer(A40, 0.4, 46_068))


def test_a_name_that_no_provider_has_is_refused_with_those_it_may_mean() -> None:
    unknown = STOCK.misnamed([CARD, "4090", "Nvidia A400", "nosuch", "RTX 3060"])
    assert unknown == ["4090", "Nvidia A400", "nosuch"], "a known card may be sold out"
    message = STOCK.misnaming(unknown)
    assert f"did you mean '{CARD}' or '{A40}'?" in message
    assert f"on offer: {CARD} at $0.340, {A40} at $0.400;" in message
    assert "did you mean" not in STOCK.misnaming(["nosuch"])


def test_names_are_not_judged_by_half_a_market() -> None:
    assert shelf(offer(CARD, 0.5), is_whole=False).misnamed(["nosuch"]) == []


@pytest.mark.parametrize(
    ("asked", "decision", "said"),
    [
        (OfferFilter(vram=80), NOTHING, "at least 80 GB of GPU memory is available; on offer:"),
        (OfferFilter(gpus=("RTX 3060",)), NOTHING, "no RTX 3060 is available; on offer:"),
        (OfferFilter(max_price=0.1), NOTHING, "the cheapest suitable one needs --max-price 0.340"),
        (OfferFilter(vram=48, max_price=0.35), NOTHING, "suitable one needs --max-price 0.400"),
        (
            OfferFilter(budget=0.05),
            POOR,
            "a budget of $0.05 is too small for any machine; on offer:",
        ),
        (OfferFilter(budget=0.05), POOR, "needs --budget 0.14"),
        (OfferFilter(budget=0.0), NOTHING, "needs --budget 0.0"),
        (OfferFilter(budget=5.0), NOTHING, "rent 0; on offer:"),
    ],
)
def test_why_nothing_can_be_rented_and_what_to_do(
    asked: OfferFilter, decision: ScalingDecision, said: str
) -> None:
    assert said in STOCK.shortage(asked, decision)


def test_an_empty_market_is_called_so() -> None:
    assert "there are no offers now;" in shelf().shortage(OfferFilter(), NOTHING)
    half = shelf(is_whole=False).shortage(OfferFilter(), NOTHING)
    assert "from the providers that could be queried" in half
