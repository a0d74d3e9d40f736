"""Tracks that are raced, and the leases under which somebody works on them."""

from collections.abc import Iterable

from trackfarm_sim.desk import Desk, Lease


class Contests:
    """A track is here from its first race until it is done."""

    def __init__(self) -> None:
        self._holders: dict[int, list[Lease]] = {}

    def live_leases(self, track: int) -> int:
        """How many leases work on a raced track; 0 when it was never raced."""
        return sum(x.is_live and track in x.open for x in self._holders.get(track, ()))

    def open(self, tracks: set[int], desks: Iterable[Desk]) -> list[Lease]:
        """Enters who works on tracks that are about to be raced; returns those leases."""
        found: list[Lease] = []
        for lease in (lease for desk in desks for lease in desk.leases):
            mine = lease.open & tracks
            if mine:
                lease.is_contested = True
                found.append(lease)
            for track in mine:
                self._enter(track, lease)
        return found

    def join(self, lease: Lease) -> None:
        """A rival's lease."""
        for track in lease.tracks:
            self._enter(track, lease)

    def _enter(self, track: int, lease: Lease) -> None:
        holders = self._holders.setdefault(track, [])
        if lease not in holders:
            holders.append(lease)

    def won(self, tracks: Iterable[int], winner: Lease) -> list[Lease]:
        """Takes done tracks from everyone else; returns who loses them."""
        losers: list[Lease] = []
        for track in tracks if self._holders else ():
            for lease in self._holders.pop(track, ()):
                if lease is not winner:
                    lease.open.discard(track)
                    losers.append(lease)
        return losers
