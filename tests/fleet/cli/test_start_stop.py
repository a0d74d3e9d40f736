"""Selection of rentals by tag or id."""

import pytest
import typer

from tests.fleet.rental_builders import TAG, a_rental_info
from trackfarm.cli.console import ExitCode
from trackfarm.protocol.fleet import RentalInfo, RentalState
from trackfarm_fleet.cli.start_stop import RENT_NOTHING, select_tags

OPEN = a_rental_info()
CLOSED = a_rental_info(RentalState.ENDED, ended_at=300)


@pytest.mark.parametrize("names", [None, [], [TAG], [OPEN.id], [TAG, OPEN.id]])
def test_select_tags_accepts_tags_and_ids_or_all(names: list[str] | None) -> None:
    assert select_tags([OPEN], names) == [TAG]


def test_select_tags_ignores_closed_rentals() -> None:
    assert select_tags([CLOSED], None) == []


@pytest.mark.parametrize("rentals", [[], [CLOSED]])
def test_select_tags_of_an_unknown_name_ends_the_command(
    rentals: list[RentalInfo], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        select_tags(rentals, [TAG])
    assert exit_.value.exit_code == ExitCode.REFUSED
    assert f"no open rental {TAG}" in " ".join(capsys.readouterr().err.split())


def test_rent_nothing_includes_no_rental() -> None:
    assert RENT_NOTHING.rules.max_machines == 0
    assert not RENT_NOTHING.includes(OPEN)
