"""Explanations when no offer fits."""

import pytest

from trackfarm.planning import built_in_prices
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.offers import OfferCatalog, OfferFilter
from trackfarm_fleet.providers.base import MachineOffer

NOTHING = ScalingDecision((), (), (), (), finish_seconds=0.0, cost=0.0, summary="rent 0")
POOR = ScalingDecision(
    (),
    (),
    (),
    (),
    finish_seconds=0.0,
    cost=0.0,
    summary="",
    is_short_of_money=True,
    min_start_cost=0.137,
)
A40, CARD = "NVIDIA A40", "NVIDIA GeForce RTX 4090"


def offer(gpu: str, price: float, memory: int = 24_564) -> MachineOffer:
    return MachineOffer("runpod", f"{gpu}-{price}", gpu, 1, memory, price)


def catalog(*offers: MachineOffer, is_complete: bool = True) -> OfferCatalog:
    return OfferCatalog(offers, built_in_prices(), is_complete=is_complete)


STOCK = catalog(offer(CARD, 0.5), offer(CARD, 0.34), offer(A40, 0.4, 46_068))


def test_unknown_gpus_are_explained_with_similar_names() -> None:
    unknown = STOCK.unknown_gpus([CARD, "4090", "Nvidia A400", "nosuch", "RTX 3060"])
    assert unknown == ["4090", "Nvidia A400", "nosuch"], "a known card may be sold out"
    message = STOCK.explain_unknown_gpus(unknown)
    assert f"did you mean '{CARD}' or '{A40}'?" in message
    assert f"on offer: {CARD} at $0.340, {A40} at $0.400;" in message
    assert "did you mean" not in STOCK.explain_unknown_gpus(["nosuch"])


def test_unknown_gpus_need_a_complete_catalog() -> None:
    assert catalog(offer(CARD, 0.5), is_complete=False).unknown_gpus(["nosuch"]) == []


@pytest.mark.parametrize(
    ("request_", "decision", "text"),
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
def test_explain_no_rental_names_the_reason_and_the_remedy(
    request_: OfferFilter, decision: ScalingDecision, text: str
) -> None:
    assert text in STOCK.explain_no_rental(request_, decision)


def test_explain_no_rental_without_offers_says_so() -> None:
    assert "there are no offers now;" in catalog().explain_no_rental(OfferFilter(), NOTHING)
    half = catalog(is_complete=False).explain_no_rental(OfferFilter(), NOTHING)
    assert "from the providers that could be queried" in half
