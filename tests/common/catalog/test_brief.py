import json
from typing import Any

import pytest
from pydantic import ValidationError

from trackfarm.catalog import Brief, FieldProblem, brief_problems
from trackfarm.catalog.vocabulary import INSTRUMENTS, LANGUAGES


def brief(**fields: Any) -> Brief:
    return Brief.model_validate({"prompt": "calm piano", "duration": 30, **fields})


def faults(**fields: Any) -> list[FieldProblem]:
    with pytest.raises(ValidationError) as raised:
        brief(**fields)
    return brief_problems(raised.value)


def test_brief_needs_a_prompt_and_a_duration() -> None:
    result = Brief(prompt="calm piano", duration=30)
    assert result.is_instrumental
    assert (result.variations, result.audio_format, result.task_type) == (1, "mp3", "text2music")


@pytest.mark.parametrize("field", ["prompt", "duration"])
def test_brief_without_a_required_field_names_it(field: str) -> None:
    (fault,) = faults(**{field: None})
    assert (fault.field, fault.wrong) == (field, "is missing")


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("duration", 10, 600),
        ("bpm", 30, 300),
        ("seed", 0, 2**32 - 1),
        ("inference_steps", 1, 200),
        ("guidance_scale", 1, 30),
        ("shift", 1, 5),
        ("variations", 1, 1000),
    ],
)
def test_brief_numbers_have_ranges(field: str, low: int, high: int) -> None:
    assert getattr(brief(**{field: low}), field) == low
    assert getattr(brief(**{field: str(high)}), field) == high
    for outside in (low - 2, high + 1):
        (fault,) = faults(**{field: outside})
        assert fault.field == field
        assert fault.remedy.endswith(f"number from {low} to {high}")


@pytest.mark.parametrize("field", ["bpm", "variations", "duration", "shift", "seed"])
@pytest.mark.parametrize("value", [True, "90bpm", "nan", float("inf"), "inf ", [], "9" * 5000])
def test_brief_refuses_text_for_a_number(field: str, value: object) -> None:
    (fault,) = faults(**{field: value})
    assert fault.field == field
    assert len(str(fault)) < 250


def test_brief_refuses_a_fraction_of_a_beat() -> None:
    assert faults(bpm=90.5)[0].wrong == "90.5 is not a whole number"
    assert faults(bpm="90.5")[0].wrong == "'90.5' is not a whole number"


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("C major", "C major"),
        ("c# MINOR", "C# minor"),
        ("f♯ min", "F# minor"),
        ("B♭ maj", "Bb major"),
        ("Am", "A minor"),
        ("bb minor", "Bb minor"),
    ],
)
def test_brief_keys_have_one_spelling(spelling: str, key: str) -> None:
    assert brief(key_scale=spelling).key_scale == key


@pytest.mark.parametrize("wrong", ["H minor", "C", "C dorian", "C## minor", True, 7])
def test_brief_refuses_other_keys(wrong: object) -> None:
    assert faults(key_scale=wrong)[0].field == "key_scale"


@pytest.mark.parametrize(
    ("spelling", "beats"), [(4, 4), ("2", 2), ("4/4", 4), ("6/8", 6), ("3 / 4", 3), ("2/4", 2)]
)
def test_brief_time_signatures_are_beats(spelling: object, beats: int) -> None:
    assert brief(time_signature=spelling).time_signature == beats


@pytest.mark.parametrize("wrong", [5, "5/4", "4/8", True, 4.5])
def test_brief_refuses_other_time_signatures(wrong: object) -> None:
    assert faults(time_signature=wrong)[0].field == "time_signature"


def test_brief_has_51_languages() -> None:
    assert len(set(LANGUAGES)) == 51
    assert all(brief(vocal_language=code.upper()).vocal_language == code for code in LANGUAGES)
    assert faults(vocal_language="english")[0].wrong == "'english' is not a language code"


@pytest.mark.parametrize("audio_format", ["mp3", "wav", "flac", "opus", " FLAC "])
def test_brief_audio_formats_are_case_insensitive(audio_format: str) -> None:
    assert brief(audio_format=audio_format).audio_format == audio_format.strip().lower()


def test_brief_refuses_another_audio_format() -> None:
    (fault,) = faults(audio_format="ogg")
    assert str(fault) == "audio_format: 'ogg' is not known; write one of mp3, wav, flac, opus"


def test_brief_texts_have_one_spelling() -> None:
    result = brief(prompt="  cafe\u0301 jazz \r\n", lyrics="[Verse]\r\nla\rla")
    assert result.prompt == "caf\u00e9 jazz"
    assert result.lyrics == "[Verse]\nla\nla"


@pytest.mark.parametrize("mark", ["[Instrumental]", " [inst] ", ""])
def test_brief_mark_for_instrumental_is_no_lyrics(mark: str) -> None:
    assert brief(lyrics=mark) == brief()


@pytest.mark.parametrize(
    "field", ["title", "lyrics", "reference_audio", "key_scale", "bpm", "name"]
)
@pytest.mark.parametrize("blank", [None, "", "  ", "\n\u3000"], ids=repr)
def test_brief_blank_values_are_not_given(field: str, blank: object) -> None:
    assert brief(**{field: blank}) == brief()


@pytest.mark.parametrize(
    ("prompt", "wrong"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ("x" * 4097, "is too long (4097)"),
        ("a\x07b", r"'a\x07b' contains the control character U+0007"),
        ("a\ud800", r"'a\ud800' contains an incomplete character (a lone surrogate)"),
        (42, "42 has the wrong type"),
    ],
)
def test_brief_refuses_prompts_without_text(prompt: object, wrong: str) -> None:
    (fault,) = faults(prompt=prompt)
    assert (fault.field, fault.wrong) == ("prompt", wrong)


def test_brief_refuses_absurd_lyrics() -> None:
    assert faults(lyrics="la " * 6000)[0].field == "lyrics"


@pytest.mark.parametrize(
    "name", ["../etc", "a/b", "a\\b", ".hidden", "x.", "a:b", "x" * 121, "a\nb"]
)
def test_brief_names_are_file_names(name: str) -> None:
    assert faults(name=name)[0].field == "name"


def test_brief_name_may_be_a_number() -> None:
    assert brief(name=101).name == "101"


def test_brief_tags_are_labels() -> None:
    assert brief(tags="zone=lobby; mood = calm").tags == {"zone": "lobby", "mood": "calm"}
    assert brief(tags={"floor": 3}).tags == {"floor": "3"}


@pytest.mark.parametrize(
    "tags", ["zone", "=x", "a=1;a=2", {"a": ""}, {"a": True}, ["a"], {"": "a"}]
)
def test_brief_refuses_other_tags(tags: object) -> None:
    assert faults(tags=tags)[0].field == "tags"


def test_brief_reads_instruments_from_text_and_lists() -> None:
    source = {"task_type": "complete", "src_audio": "https://example.org/a.wav"}
    expected = ("drums", "backing_vocals")
    for spelling in ("Drums | backing vocals", ["drums", "backing_vocals", "drums"]):
        assert brief(**source, track_classes=spelling).track_classes == expected
    assert len(INSTRUMENTS) == 12


def test_canonical_is_compact_sorted_and_without_unset_fields() -> None:
    text = brief(bpm=90, key_scale="am").canonical()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert '"duration":30,' in text
    assert "seed" not in text


def test_canonical_leaves_out_labels_and_variations() -> None:
    relabelled = brief(variations=5, tags="a=b", name="other", title="Other")
    assert relabelled.canonical() == brief().canonical()


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "piano"},
        {"duration": 30.5},
        {"seed": 0},
        {"audio_format": "wav"},
        {"lyrics": "la"},
        {"loudness_lufs": -14},
    ],
)
def test_canonical_has_every_audible_field(changed: dict[str, object]) -> None:
    assert brief(**changed).canonical() != brief().canonical()


def test_canonical_does_not_depend_on_spelling() -> None:
    first = brief(duration=10, key_scale="C# minor", time_signature=4, seed=-1)
    second = brief(duration="10.0", key_scale="c♯ min", time_signature="4/4", use_random_seed=True)
    assert first.canonical() == second.canonical()


def test_brief_is_immutable() -> None:
    with pytest.raises(ValidationError):
        brief().bpm = 90  # type: ignore[misc]


@pytest.mark.parametrize("wrong", [-40.1, 1, "loud"])
def test_brief_refuses_a_loudness_out_of_range(wrong: object) -> None:
    (fault,) = faults(loudness_lufs=wrong)
    assert fault.field == "loudness_lufs"
    assert fault.remedy.endswith("from -40 to 0 LUFS, such as -14")


def test_canonical_without_a_loudness_is_unchanged() -> None:
    assert "loudness" not in brief().canonical()
    assert brief(loudness="-14").canonical() == brief(loudness_lufs=-14.0).canonical()


def test_brief_problems_are_all_reported_at_once() -> None:
    messages = faults(bpm=1, key_scale="H", nonsense=1, thinking=True)
    assert {fault.field for fault in messages} == {"bpm", "key_scale", "nonsense", "thinking"}


def test_brief_problems_quote_values_shortly() -> None:
    assert len(str(faults(key_scale="x" * 100_000)[0])) < 200
    assert len(str(faults(**{"y" * 100_000: 1})[0])) < 200


def test_brief_without_lyrics_has_one_identity_in_three_spellings() -> None:
    spellings: list[dict[str, object]] = [
        {},
        {"lyrics": ""},
        {"lyrics": "[Instrumental]"},
        {"lyrics": "[inst]"},
        {"instrumental": True},
    ]
    briefs = [Brief.model_validate({"prompt": "x", "duration": 10, **one}) for one in spellings]
    assert len({brief.canonical() for brief in briefs}) == 1
