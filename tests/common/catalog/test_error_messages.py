"""Messages for pydantic's errors: the field, the value and the remedy."""

from typing import Any

import pytest
from pydantic import ValidationError

from trackfarm.catalog import Brief
from trackfarm.catalog.error_messages import brief_problems, expected, unknown_field


def problems_of(**fields: Any) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        Brief.model_validate({"prompt": "calm", "duration": 30} | fields)
    return [str(problem) for problem in brief_problems(raised.value)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"duration": 2}, "duration: 2 is too small; write a number from 10 to 600"),
        ({"bpm": "fast"}, "bpm: 'fast' is not a whole number; write a whole number from 30 to 300"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number;"),
        ({"duration": float("nan")}, "duration: nan is not a finite number;"),
        ({"prompt": "a\x07b"}, "prompt: 'a\\x07b' contains the control character U+0007;"),
        ({"prompt": "x" * 5000}, "prompt: is too long (5000); write text of at most 4096"),
        ({"audio_format": "aiff"}, "audio_format: 'aiff' is not known; write one of mp3, wav,"),
        ({"lyrics": "la", "instrumental": True}, "instrumental: contradicts the lyrics"),
        ({"instrumental": "perhaps"}, "instrumental: 'perhaps' is neither true nor false"),
        ({"prompt": None}, "prompt: is missing; give it in the brief or in the defaults"),
    ],
)
def test_brief_problems_name_field_value_and_remedy(fields: dict[str, Any], text: str) -> None:
    assert [problem for problem in problems_of(**fields) if not problem.startswith(text)] == []


def test_brief_problems_report_each_field_once() -> None:
    problems = problems_of(duration=1, bpm=1, zone="lobby")
    assert [problem.partition(":")[0] for problem in problems] == ["duration", "bpm", "zone"]


def test_unknown_field_suggests_a_similar_name_if_there_is_one() -> None:
    assert unknown_field("promt").remedy == "did you mean prompt?"
    assert unknown_field("qqqq").remedy == "remove it; docs/catalogs.md lists all fields"


def test_expected_is_a_noun_phrase_for_every_field() -> None:
    assert expected("bpm") == "a whole number from 30 to 300"
    assert expected("title") == "text of at most 200 characters"
    assert all(expected(field) for field in Brief.model_fields)
