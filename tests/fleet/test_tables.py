"""What `trackfarm fleet status` says of work that no machine is rented for."""

from trackfarm.rentals import Demand
from trackfarm_fleet.cli.tables import unserved_words


def demand(name: str, **waiting: int) -> Demand:
    tiers = {int(tier.removeprefix("vram")): number for tier, number in waiting.items()}
    return Demand(model_set=name, shapes=[], waiting=tiers, jobs=[])


def test_what_waits_is_told_with_who_could_rent_for_it() -> None:
    waits = [demand("acestep-v15-turbo", vram12=1200, vram16=34), demand("tiny", vram4=0)]
    said = unserved_words(waits, led=False)
    assert said.startswith("1,234 tracks wait for a worker (1,234 of acestep-v15-turbo)")
    assert "`trackfarm-fleet` rents" in said
    assert "its log says why" in unserved_words(waits, led=True)
    assert unserved_words([demand("tiny", vram4=0)], led=False) == ""
