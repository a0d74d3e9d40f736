"""Tracks with speculative copies, and the leases that hold them."""

from collections.abc import Iterable

from trackfarm_sim.sim_worker import Desk, SimLease


class Contests:
    """The tracks with speculative copies, from the first copy until they are done."""

    def __init__(self) -> None:
        self._holders: dict[int, list[SimLease]] = {}

    def live_leases(self, track: int) -> int:
        """Return the number of live leases on such a track; 0 if it never had a copy."""
        return sum(x.is_live and track in x.open for x in self._holders.get(track, ()))

    def open(self, tracks: set[int], desks: Iterable[Desk]) -> list[SimLease]:
        """Register the current leases of tracks that are about to be copied, and return them."""
        leases: list[SimLease] = []
        for lease in (lease for desk in desks for lease in desk.leases):
            shared = lease.open & tracks
            if shared:
                lease.is_contested = True
                leases.append(lease)
            for track in shared:
                self._enter(track, lease)
        return leases

    def join(self, lease: SimLease) -> None:
        """Register the lease of a speculative copy."""
        for track in lease.tracks:
            self._enter(track, lease)

    def _enter(self, track: int, lease: SimLease) -> None:
        holders = self._holders.setdefault(track, [])
        if lease not in holders:
            holders.append(lease)

    def won(self, tracks: Iterable[int], winner: SimLease) -> list[SimLease]:
        """Remove done tracks from all other leases, and return these leases."""
        losers: list[SimLease] = []
        for track in tracks if self._holders else ():
            for lease in self._holders.pop(track, ()):
                if lease is not winner:
                    lease.open.discard(track)
                    losers.append(lease)
        return losers
