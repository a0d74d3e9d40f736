"""Explanations when no offer fits."""

import pytest

from trackfarm.planning import built_in_prices
from trackfarm_fleet.decision import Decision
from trackfarm_fleet.providers.port import Offer
from trackfarm_fleet.shelf import Asked, Shelf

NOTHING = Decision((), (), (), (), finish=0.0, cost=0.0, words="rent 0")
POOR = Decision(
    (), (), (), (), finish=0.0, cost=0.0, words="", short_of_money=True, least_cost=0.137
)
A40, CARD = "NVIDIA A40", "NVIDIA GeForce RTX 4090"


def offer(gpu: str, price: float, memory: int = 24_564) -> Offer:
    return Offer("runpod", f"{gpu}-{price}", gpu, 1, memory, price)


def shelf(*offers: Offer, is_whole: bool = True) -> Shelf:
    return Shelf(offers, built_in_prices(), is_whole=is_whole)


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
        (Asked(vram=80), NOTHING, "at least 80 GB of GPU memory is available; on offer:"),
        (Asked(gpus=("RTX 3060",)), NOTHING, "no RTX 3060 is available; on offer:"),
        (Asked(max_price=0.1), NOTHING, "the cheapest suitable one needs --max-price 0.340"),
        (Asked(vram=48, max_price=0.35), NOTHING, "suitable one needs --max-price 0.400"),
        (Asked(budget=0.05), POOR, "a budget of $0.05 is too small for any machine; on offer:"),
        (Asked(budget=0.05), POOR, "needs --budget 0.14"),
        (Asked(budget=0.0), NOTHING, "needs --budget 0.0"),
        (Asked(budget=5.0), NOTHING, "rent 0; on offer:"),
    ],
)
def test_why_nothing_can_be_rented_and_what_to_do(
    asked: Asked, decision: Decision, said: str
) -> None:
    assert said in STOCK.shortage(asked, decision)


def test_an_empty_market_is_called_so() -> None:
    assert "there are no offers now;" in shelf().shortage(Asked(), NOTHING)
    half = shelf(is_whole=False).shortage(Asked(), NOTHING)
    assert "from the providers that could be queried" in half
