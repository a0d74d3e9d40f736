"""Keys and tempi that the demo model knows."""

from dataclasses import dataclass

SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
MODES = ("major", "minor")
STEPS = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))  # semitones above the tonic, by mode

FIRST_TEMPO, TEMPO_STEP, TEMPO_COUNT = 70.0, 2.5, 28
# Halfway to the octave of the first and beyond the last: within these bounds no tempo is moved.
LOWEST_BPM, HIGHEST_BPM = 69.0, 138.75


@dataclass(frozen=True, slots=True)
class Key:
    """Key of a piece: `tonic` is a pitch class (0 is C), `mode` 0 for major and 1 for minor."""

    tonic: int
    mode: int

    @property
    def name(self) -> str:
        return f"{SHARPS[self.tonic]} {MODES[self.mode]}"

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the seven degrees, from the tonic."""
        return tuple((self.tonic + step) % 12 for step in STEPS[self.mode])

    def pitch_class(self, degree: int) -> int:
        """Return the pitch class of a scale degree; degrees above 6 go on in the next octave."""
        return self.scale[degree % 7]


def parse_key(text: str) -> Key:
    """Return the key of a spelling such as "F# minor". Raises ValueError for any other text."""
    tonic, _, mode = text.partition(" ")
    names = SHARPS if tonic in SHARPS else FLATS
    return Key(names.index(tonic), MODES.index(mode))


def tempo_index(bpm: float) -> int:
    """Return the index of the nearest of the 28 tempi, after moving `bpm` by octaves into range.

    Every tempo from 30 to 300 bpm lies within 1.75 % of one of them.
    """
    while bpm < LOWEST_BPM:
        bpm *= 2
    while bpm >= HIGHEST_BPM:
        bpm /= 2
    return min(max(round((bpm - FIRST_TEMPO) / TEMPO_STEP), 0), TEMPO_COUNT - 1)


def tempo_bpm(index: int) -> float:
    return FIRST_TEMPO + TEMPO_STEP * index


def octave_error(heard: float, asked: float) -> float:
    """Return the relative error of a tempo, or of its half or double if that is smaller."""
    return min(abs(heard * factor / asked - 1) for factor in (0.5, 1, 2))
