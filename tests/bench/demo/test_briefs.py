import numpy as np

from trackfarm.demo_words import demo_words, played_genre
from trackfarm_demo.briefs import random_brief
from trackfarm_demo.music_theory import parse_key, tempo_index


def test_brief_asks_in_words_for_the_piece_that_it_names() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        brief = random_brief(rng)
        usual = demo_words().genres[brief.piece.genre]
        assert played_genre(brief.prompt) == brief.piece.genre
        assert brief.piece.tempo == tempo_index(brief.bpm or usual.bpm)
        assert brief.piece.key == parse_key(brief.key_scale or usual.key)


def test_briefs_have_every_genre_key_and_tempo() -> None:
    rng = np.random.default_rng(0)
    pieces = [random_brief(rng).piece for _ in range(2_000)]
    assert {piece.genre for piece in pieces} == set(demo_words().genres)
    assert len({piece.key for piece in pieces}) == 24
    assert len({piece.tempo for piece in pieces}) == 28


def test_briefs_of_one_seed_are_the_same() -> None:
    first, second = ([random_brief(np.random.default_rng(7)) for _ in range(3)] for _ in range(2))
    assert first == second
