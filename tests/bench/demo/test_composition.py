import numpy as np
import pytest

from trackfarm_demo.composition import Piece, chord_tones, compose
from trackfarm_demo.genre_patterns import PATTERNS
from trackfarm_demo.latents import FRAMES_PER_SECOND, KICK, PITCH_CLASSES, SNARE, TRIGGER
from trackfarm_demo.music_theory import Key, tempo_index

A_MINOR = Key(9, 1)
HOUSE = Piece("house", tempo_index(120), A_MINOR)


@pytest.mark.parametrize("genre", PATTERNS)
@pytest.mark.parametrize("key", [Key(0, 0), Key(6, 1)], ids=lambda key: key.name)
def test_piece_holds_triggers_of_its_scale_and_nothing_else(genre: str, key: Key) -> None:
    latents = compose(np.random.default_rng(1), Piece(genre, 5, key), 0, 500)
    assert set(np.unique(latents)) <= {-TRIGGER, 0.0, TRIGGER}
    played = np.flatnonzero(np.abs(latents[:, :PITCH_CLASSES]).any(axis=0))
    assert set(played) <= set(key.scale)
    assert len(played) >= 5


def test_piece_has_its_drums_on_the_beats_of_its_tempo() -> None:
    latents = compose(np.random.default_rng(1), HOUSE, 0, 16 * FRAMES_PER_SECOND)
    kicks = np.flatnonzero(latents[:, KICK]) / FRAMES_PER_SECOND
    assert np.allclose(kicks, np.arange(32) * 0.5, atol=0.5 / FRAMES_PER_SECOND)
    snares = np.flatnonzero(latents[:, SNARE]) / FRAMES_PER_SECOND
    assert np.allclose(snares, np.arange(16) + 0.5, atol=0.5 / FRAMES_PER_SECOND)


@pytest.mark.parametrize("first", [4, 96, 1_000, 5_000])
def test_excerpt_equals_that_part_of_the_whole_piece(first: int) -> None:
    drums_and_bass = [
        np.minimum(compose(np.random.default_rng(1), HOUSE, start, 6_000 - start), 0)
        for start in (0, first)
    ]
    assert np.array_equal(drums_and_bass[0][first:], drums_and_bass[1])


def test_chord_tones_are_those_of_the_progression_bar_by_bar() -> None:
    table = chord_tones(HOUSE, 0, 16 * FRAMES_PER_SECOND // 2)
    roots = table[:, PITCH_CLASSES:].argmax(axis=1)
    # A minor, F, C, G are degrees 0, 5, 2, 6; a bar of 2 s at 120 bpm has 12.5 patches.
    assert list(dict.fromkeys(roots.tolist())) == [9, 5, 0, 7]
    assert table[0, :PITCH_CLASSES].nonzero()[0].tolist() == [0, 4, 9]
    assert (table[:, PITCH_CLASSES:].sum(axis=1) == 1).all()
