import numpy as np
import pytest

from trackfarm_demo.composition import Piece, compose
from trackfarm_demo.genre_patterns import PATTERNS
from trackfarm_demo.latent_judge import judge
from trackfarm_demo.latents import CHANNELS
from trackfarm_demo.music_theory import Key, octave_error, tempo_bpm, tempo_index

FRAMES = 400


@pytest.mark.parametrize("genre", PATTERNS)
def test_composed_piece_has_full_marks(genre: str) -> None:
    piece = Piece(genre, 13, Key(2, 1))
    score = judge(compose(np.random.default_rng(5), piece, 0, FRAMES), piece)
    assert score.is_tempo_right
    assert (score.on_grid, score.grid_filled, score.in_scale, score.chord_tones) == (1, 1, 1, 1)
    assert score.genre == genre
    assert score.residue == 0


def test_piece_in_another_key_tempo_or_genre_is_told() -> None:
    asked = Piece("pop", tempo_index(100), Key(0, 0))
    other = Piece("spa", tempo_index(117.5), Key(6, 0))
    score = judge(compose(np.random.default_rng(5), other, 0, FRAMES), asked)
    assert not score.is_tempo_right
    assert score.in_scale < 0.5
    assert score.genre != "pop"
    assert score.drums_per_second == 0


def test_tempo_is_heard_without_knowing_it() -> None:
    for tempo in (3, 14, 25):
        piece = Piece("funk", tempo, Key(0, 0))
        score = judge(compose(np.random.default_rng(5), piece, 0, FRAMES), piece)
        assert octave_error(score.bpm, tempo_bpm(tempo)) < 0.02


def test_noise_scores_like_chance() -> None:
    piece = Piece("pop", 12, Key(0, 0))
    noise = np.random.default_rng(1).normal(size=(FRAMES, CHANNELS)).astype(np.float32) * 2
    score = judge(noise, piece)
    assert score.in_scale == pytest.approx(7 / 12, abs=0.1)
    assert score.residue > 0.5


def test_silence_scores_nothing() -> None:
    score = judge(np.zeros((FRAMES, CHANNELS), np.float32), Piece("pop", 12, Key(0, 0)))
    assert (score.on_grid, score.in_scale, score.notes_per_second, score.residue) == (0, 0, 0, 0)
