"""Tracks with speculative copies, and the leases that hold them."""

from collections.abc import Iterable

from trackfarm_sim.sim_worker import SimLease, SimWorker


class Races:
    """The tracks with speculative copies, from the first copy until they are done."""

    def __init__(self) -> None:
        self._holders: dict[int, list[SimLease]] = {}

    def live_leases(self, track: int) -> int:
        """Return the number of live leases on such a track; 0 if it never had a copy."""
        return sum(
            lease.is_live and track in lease.open_tracks for lease in self._holders.get(track, ())
        )

    def start(self, tracks: set[int], workers: Iterable[SimWorker]) -> list[SimLease]:
        """Register the current leases of tracks that are about to be copied, and return them."""
        leases: list[SimLease] = []
        for lease in (lease for worker in workers for lease in worker.leases):
            shared = lease.open_tracks & tracks
            if shared:
                lease.is_raced = True
                leases.append(lease)
            for track in shared:
                self._register(track, lease)
        return leases

    def add(self, lease: SimLease) -> None:
        """Register the lease of a speculative copy."""
        for track in lease.tracks:
            self._register(track, lease)

    def _register(self, track: int, lease: SimLease) -> None:
        holders = self._holders.setdefault(track, [])
        if lease not in holders:
            holders.append(lease)

    def finish(self, tracks: Iterable[int], winner: SimLease) -> list[SimLease]:
        """Remove done tracks from all other leases, and return these leases."""
        losers: list[SimLease] = []
        for track in tracks if self._holders else ():
            for lease in self._holders.pop(track, ()):
                if lease is not winner:
                    lease.open_tracks.discard(track)
                    losers.append(lease)
        return losers
