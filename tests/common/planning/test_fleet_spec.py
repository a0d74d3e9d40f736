"""Notation of fleets."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.planning import FleetError, built_in_prices, parse_fleet
from trackfarm.planning.fleet_spec import fleet_words

PRICES = built_in_prices()
CARDS = sorted(PRICES.cards)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("6x RTX 4090 @0.34, 2x A100-80 @1.50", "6x RTX 4090 @0.34, 2x A100-80 @1.5"),
        ("RTX 4090", "1x RTX 4090 @0.34"),
        ("rtx4090", "1x RTX 4090 @0.34"),
        ("4090", "1x RTX 4090 @0.34"),
        ("2 4090", "2x RTX 4090 @0.34"),
        ("2*4090@.5", "2x RTX 4090 @0.5"),
        ("3 x NVIDIA GeForce RTX 4090 @ $0.30/h", "3x RTX 4090 @0.3"),
        ("h200 ; 1x H100 80GB HBM3", "1x H200 @3.59, 1x H100 @1.99"),
        ("2x L40S @0", "2x L40S @0"),
        ("4x cpu", "4x cpu @0"),
        ("1x A40, 2x A40", "3x A40 @0.4"),
        ("1x A40 @0.4,", "1x A40 @0.4"),
    ],
)
def test_parse_fleet_accepts_these_notations(text: str, words: str) -> None:
    assert fleet_words(parse_fleet(text, PRICES)) == words


def test_parse_fleet_sets_tier_and_boot_of_a_group() -> None:
    rented, own, cpu = parse_fleet("2x RTX 4090, A100-80 @0, cpu", PRICES)
    assert (rented.count, rented.vram, rented.needs_boot, rented.is_gpu) == (2, 24, True, True)
    assert (own.vram, own.needs_boot) == (80, False)
    assert (cpu.vram, cpu.needs_boot, cpu.is_gpu) == (4, False, False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("6x RTX 4900", "unknown card 'RTX 4900'; did you mean RTX 4090"),
        ("A100-8", "did you mean A100-80"),
        ("toaster", "known cards are H200"),
        ("0x H200", "1 to 10,000 cards"),
        ("99999x H200", "1 to 10,000 cards"),
        ("2x", "cannot read '2x'"),
        ("2x @1", "cannot read '2x @1'"),
        ("H200 @free", "cannot read 'H200 @free'"),
        ("H200 @-1", "cannot read"),
        ("H200 @@1", "cannot read"),
    ],
)
def test_parse_fleet_names_what_it_cannot_read(text: str, complaint: str) -> None:
    with pytest.raises(FleetError) as error:
        parse_fleet(text, PRICES)
    assert complaint in str(error.value)


@given(
    st.lists(
        st.tuples(st.integers(1, 10_000), st.sampled_from(CARDS), st.integers(0, 5_000)),
        min_size=1,
        max_size=4,
        unique_by=lambda part: part[1],
    )
)
def test_fleet_words_can_be_parsed_again(parts: list[tuple[int, str, int]]) -> None:
    text = ", ".join(f"{count}x {card} @{cents / 100:g}" for count, card, cents in parts)
    assert fleet_words(parse_fleet(text, PRICES)) == text


@given(st.text(max_size=60))
def test_parse_fleet_accepts_or_refuses_any_text(text: str) -> None:
    with suppress(FleetError):
        assert all(group.count > 0 for group in parse_fleet(text, PRICES))
