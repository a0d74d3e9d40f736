"""Tracks with speculative copies, and the leases that hold them."""

from collections.abc import Iterable

from trackfarm_sim.desk import Desk, Lease


class Contests:
    """The tracks with speculative copies, from the first copy until they are done."""

    def __init__(self) -> None:
        self._holders: dict[int, list[Lease]] = {}

    def live_leases(self, track: int) -> int:
        """Return the number of live leases on such a track; 0 if it never had a copy."""
        return sum(x.is_live and track in x.open for x in self._holders.get(track, ()))

    def open(self, tracks: set[int], desks: Iterable[Desk]) -> list[Lease]:
        """Register the current leases of tracks that are about to be copied, and return them."""
        leases: list[Lease] = []
        for lease in (lease for desk in desks for lease in desk.leases):
            shared = lease.open & tracks
            if shared:
                lease.is_contested = True
                leases.append(lease)
            for track in shared:
                self._enter(track, lease)
        return leases

    def join(self, lease: Lease) -> None:
        """Register the lease of a speculative copy."""
        for track in lease.tracks:
            self._enter(track, lease)

    def _enter(self, track: int, lease: Lease) -> None:
        holders = self._holders.setdefault(track, [])
        if lease not in holders:
            holders.append(lease)

    def won(self, tracks: Iterable[int], winner: Lease) -> list[Lease]:
        """Remove done tracks from all other leases, and return these leases."""
        losers: list[Lease] = []
        for track in tracks if self._holders else ():
            for lease in self._holders.pop(track, ()):
                if lease is not winner:
                    lease.open.discard(track)
                    losers.append(lease)
        return losers
