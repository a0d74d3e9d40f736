"""The words that the model set `demo` knows, and the genre that a prompt names with them."""

from collections import Counter

import pytest

from trackfarm.catalog.vocabulary import parse_key
from trackfarm.demo_words import demo_words, named_genres, played_genre


def test_demo_words_are_lower_case_and_each_belongs_to_one_genre() -> None:
    table = demo_words()
    known = [*table.not_genres]
    for genre in table.genres.values():
        known += [*genre.words, *genre.hints]
    assert [word for word, count in Counter(known).items() if count > 1] == []
    assert all(word == word.lower().strip() for word in known)


def test_demo_words_have_eight_genres_with_a_key_and_a_tempo_that_is_played() -> None:
    table = demo_words()
    assert list(table.genres) == ["spa", "jazz", "bossa", "pop", "house", "piano", "lofi", "funk"]
    assert table.default in table.genres
    for genre in table.genres.values():
        assert parse_key(genre.key) == genre.key
        assert table.min_bpm <= genre.bpm <= table.max_bpm


def test_named_genres_finds_every_word_of_the_table_on_its_own() -> None:
    for name, genre in demo_words().genres.items():
        for text in (*genre.words, *genre.hints):
            assert named_genres(f"Some {text.upper()}, please") == (name,), text


@pytest.mark.parametrize("phrase", demo_words().not_genres)
def test_named_genres_leaves_out_phrases_that_contain_a_word_and_mean_no_genre(phrase: str) -> None:
    assert named_genres(f"music for a {phrase}") == ()


@pytest.mark.parametrize(
    ("prompt", "genres"),
    [
        ("music for a hotel lobby", ("jazz",)),
        ("bossa nova with nylon guitar for a hotel lobby", ("bossa",)),
        ("slow jazz trio for a spa with warm water", ("jazz",)),
        ("tropical house", ("house",)),
        ("tropical evening", ("bossa",)),
        ("ambient pads, then a lo-fi beat", ("spa", "lofi")),
        ("harp in a spa", ("piano", "spa")),
        ("jazzercise", ()),
        ("gamelan at dawn", ()),
        ("", ()),
    ],
)
def test_named_genres_prefers_words_to_hints_and_long_words_to_short_ones(
    prompt: str, genres: tuple[str, ...]
) -> None:
    assert named_genres(prompt) == genres


def test_played_genre_is_the_first_named_or_the_default() -> None:
    assert played_genre("ambient pads, then a lo-fi beat") == "spa"
    assert played_genre("gamelan at dawn") == "pop"
