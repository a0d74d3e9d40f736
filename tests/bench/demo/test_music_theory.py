import math

import pytest

from trackfarm_demo.music_theory import (
    TEMPO_COUNT,
    Key,
    parse_key,
    tempo_bpm,
    tempo_index,
)


def test_tempo_of_every_bpm_is_within_two_percent_in_some_octave() -> None:
    for bpm in range(30, 301):
        octaves = math.log2(tempo_bpm(tempo_index(bpm)) / bpm)
        assert abs(2 ** (octaves - round(octaves)) - 1) < 0.0179, bpm
    assert [tempo_index(tempo_bpm(i)) for i in range(TEMPO_COUNT)] == list(range(TEMPO_COUNT))


@pytest.mark.parametrize(
    ("text", "key"),
    [("C major", Key(0, 0)), ("F# minor", Key(6, 1)), ("Bb major", Key(10, 0))],
)
def test_key_is_read_from_its_spelling(text: str, key: Key) -> None:
    assert parse_key(text) == key


def test_key_of_another_spelling_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in"):
        parse_key("H major")


def test_scale_of_a_minor_key_is_that_of_its_relative_major() -> None:
    assert set(Key(9, 1).scale) == set(Key(0, 0).scale) == {0, 2, 4, 5, 7, 9, 11}
    assert Key(0, 1).pitch_class(9) == 3
