"""Field types: input is normalised to one spelling, or refused with a complete message."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from trackfarm.catalog import field_types


def parsed(type_name: str, value: object) -> Any:
    return TypeAdapter(getattr(field_types, type_name)).validate_python(value)


@pytest.mark.parametrize(
    ("type_name", "value", "result"),
    [
        ("Text", "  u\u0308ber\r\nalles ", "über\nalles"),
        ("Lyrics", "[Instrumental]", ""),
        ("Key", "f# min", "F# minor"),
        ("TimeSignature", "6/8", 6),
        ("Language", " DE ", "de"),
        ("Instrument", "Backing Vocals", "backing_vocals"),
        ("Instruments", "drums | bass, drums", ("drums", "bass")),
        ("FileStem", 7, "7"),
        ("Whole", "3", 3),
        ("Tags", {"zone": 3}, {"zone": "3"}),
        ("Tags", "zone=lobby; mood=calm", {"zone": "lobby", "mood": "calm"}),
        ("SourceName", "song.flac", "song.flac"),
        ("AudioCodes", "<|audio_code_1|>", "<|audio_code_1|>"),
    ],
)
def test_field_types_normalise(type_name: str, value: object, result: object) -> None:
    assert parsed(type_name, value) == result


@pytest.mark.parametrize(
    ("type_name", "value", "message"),
    [
        ("Whole", True, "true is not a number"),
        ("Key", "H minor", "'H minor' is not a key"),
        ("TimeSignature", "5/4", "'5/4' is not a time signature"),
        ("Language", "klingon", "'klingon' is not a language code"),
        ("Instrument", True, "True is not an instrument"),
        ("Instruments", ["drums"] * 99, "is not a list of instruments"),
        ("SourceName", "ftp://host/x", "begins with ftp:, which is not supported"),
        ("AudioCodes", "<|audio_code_99999|>", "is not a string of audio codes"),
    ],
)
def test_field_types_refuse_with_a_message(type_name: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parsed(type_name, value)
    assert message in raised.value.errors()[0]["msg"]


@pytest.mark.parametrize("name", ["a/b", ".hidden", "end.", "a:b", "", "x\x00"])
def test_file_stem_refuses_names_that_no_system_takes(name: str) -> None:
    with pytest.raises(ValidationError):
        parsed("FileStem", name)


@pytest.mark.parametrize("text", ["zone", "zone=", "=calm", "zone=a;zone=b"])
def test_parse_tags_refuses_other_text(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="is not a list of labels"):
        field_types.parse_tags(text)
