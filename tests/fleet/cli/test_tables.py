"""The message of `trackfarm fleet status` about tracks that wait without machines."""

from trackfarm.protocol.fleet import FleetDemand
from trackfarm_fleet.cli.tables import unserved_words


def demand(name: str, **waiting: int) -> FleetDemand:
    tiers = {int(tier.removeprefix("vram")): number for tier, number in waiting.items()}
    return FleetDemand(model_set=name, shapes=[], waiting=tiers, jobs=[])


def test_unserved_words_name_the_waiting_tracks_and_the_remedy() -> None:
    waits = [demand("acestep-v15-turbo", vram12=1200, vram16=34), demand("tiny", vram4=0)]
    message = unserved_words(waits, is_led=False)
    assert message.startswith("1,234 tracks wait for a worker (1,234 of acestep-v15-turbo)")
    assert "start `trackfarm-fleet`" in message
    assert "see the log of the fleet process" in unserved_words(waits, is_led=True)
    assert unserved_words([demand("tiny", vram4=0)], is_led=False) == ""
