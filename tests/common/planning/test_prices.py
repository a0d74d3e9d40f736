"""The price table and the operator's own file."""

from pathlib import Path

import pytest

from trackfarm.planning import PricesError, built_in_prices, load_prices


def write_prices(path: Path, text: str) -> dict[str, str]:
    path.write_text(text)
    return {"TRACKFARM_PRICES": str(path), "TRACKFARM_HOME": str(path.parent)}


def test_prices_have_a_tier_and_a_unique_name_for_every_card() -> None:
    prices = built_in_prices()
    assert prices.bought_track == 0.057
    tiers = {name: card.vram for name, card in prices.cards.items()}
    assert tiers["RTX 3060"] == 12
    assert tiers["RTX 4090"] == tiers["RTX 3090"] == tiers["RTX 5090"] == tiers["A100-40"] == 24
    assert tiers["L40S"] == tiers["A40"] == 48
    assert tiers["A100-80"] == tiers["H100"] == 80
    assert tiers["H200"] == 141
    for card in prices.cards.values():
        for spelling in (card.name, *card.aliases, f"NVIDIA {card.name}", card.name.lower()):
            assert prices.card(spelling) == card


def test_prices_of_an_own_file_replace_single_values(tmp_path: Path) -> None:
    environ = write_prices(
        tmp_path / "mine.toml",
        'bought_track = 0.1\n[cards]\n"RTX 4090" = { price = 0.5 }\n'
        '"B200" = { memory_mib = 183359, price = 6 }\n[rental]\ndownload_mb_per_second = 200\n',
    )
    prices = load_prices(environ)
    assert prices.bought_track == 0.1
    assert prices.cards["RTX 4090"].price == 0.5
    assert prices.cards["RTX 4090"].memory_mib == 24_564
    assert prices.cards["B200"].vram == 141
    assert prices.rental.download_mb_per_second == 200
    assert prices.rental.boot_minutes == built_in_prices().rental.boot_minutes


def test_prices_of_the_home_directory_are_found(tmp_path: Path) -> None:
    home = {"TRACKFARM_HOME": str(tmp_path)}
    assert load_prices(home) == built_in_prices()
    (tmp_path / "prices.toml").write_text("bought_track = 0.2\n")
    assert load_prices(home).bought_track == 0.2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bought_track = ", "cannot be read"),
        ("bought_track = -1", "bought_track"),
        ('[cards]\n"B200" = { price = 6 }', "cards.B200.memory_mib"),
        ('[cards]\n"H200" = { prize = 6 }', "cards.H200.prize"),
        ("cards = 3", "cards must be a table"),
        ('[cards]\n"H200" = 3', "cards must be a table"),
        ("[rental]\nboot_minutes = { low = 9, expected = 4, high = 10 }", "ascending order"),
        ("lunch = 3", "lunch"),
    ],
)
def test_prices_file_with_a_mistake_is_refused_with_its_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    environ = write_prices(tmp_path / "mine.toml", text)
    with pytest.raises(PricesError) as error:
        load_prices(environ)
    assert complaint in str(error.value)
    assert "mine.toml" in str(error.value)


def test_prices_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match="does not exist"):
        load_prices({"TRACKFARM_PRICES": str(tmp_path / "none.toml")})
