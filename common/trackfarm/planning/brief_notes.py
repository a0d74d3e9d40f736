"""Notes on fields of a catalog's briefs that the model set `demo` leaves out, each with a count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trackfarm.catalog import Brief
from trackfarm.demo_words import demo_words, named_genres
from trackfarm.model_sets import DEMO
from trackfarm.text import counted

ROWS_SHOWN = 3


@dataclass(slots=True)
class BriefNotes:
    """Collector of notes on the briefs of a catalog. Model sets other than `demo` have none.

    Memory does not grow with the catalog: of each note, the count and the first rows are kept.
    """

    model_set: str
    _tallies: dict[str, "_Tally"] = field(default_factory=dict)

    def add(self, row: int, brief: Brief) -> None:
        """Take notes on a brief; `row` is its line in the file."""
        if self.model_set != DEMO:
            return
        for limit, is_beyond in _LIMITS.items():
            if is_beyond(brief):
                self._tallies.setdefault(limit, _Tally()).add(row)

    def texts(self) -> list[str]:
        """Return the notes, in the same order for every catalog."""
        tallies = [(limit, self._tallies[limit]) for limit in _LIMITS if limit in self._tallies]
        return [f"{DEMO} {limit}: {tally.words}" for limit, tally in tallies]


@dataclass(slots=True)
class _Tally:
    briefs: int = 0
    first_rows: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        self.briefs += 1
        if len(self.first_rows) <= ROWS_SHOWN and row not in self.first_rows:
            self.first_rows.append(row)

    @property
    def words(self) -> str:
        briefs = counted(self.briefs, "brief")
        # All briefs of a matrix have the same row.
        if self.briefs > 1 and len(self.first_rows) == 1:
            return briefs
        return f"{briefs} ({_rows(self.first_rows)})"


def _rows(first_rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, first_rows[:ROWS_SHOWN]))
    more = ", ..." if len(first_rows) > ROWS_SHOWN else ""
    return f"{'row' if len(first_rows) == 1 else 'rows'} {shown}{more}"


def _is_at_another_tempo(brief: Brief) -> bool:
    words = demo_words()
    return brief.bpm is not None and not words.min_bpm <= brief.bpm <= words.max_bpm


_LIMITS: dict[str, Callable[[Brief], bool]] = {
    f"plays {demo_words().default} for a prompt that names none of its genres": (
        lambda brief: not named_genres(brief.prompt)
    ),
    "plays one genre, or a mixture, for a prompt that names several": (
        lambda brief: len(named_genres(brief.prompt)) > 1
    ),
    "does not sing lyrics": lambda brief: not brief.is_instrumental,
    f"doubles or halves a tempo outside {demo_words().min_bpm:g} to {demo_words().max_bpm:g} bpm": (
        _is_at_another_tempo
    ),
    "plays 4/4 in place of another time signature": (
        lambda brief: brief.time_signature not in (None, 4)
    ),
    "does not hear reference audio": lambda brief: brief.reference_audio is not None,
}
