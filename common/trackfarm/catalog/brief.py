"""One music brief: the customer's request, validated and normalised."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from trackfarm.catalog.field_names import normalised
from trackfarm.catalog.field_types import (
    AudioCodes,
    FileStem,
    Instrument,
    Instruments,
    Key,
    Language,
    Lower,
    Lyrics,
    Real,
    SourceName,
    Tags,
    Text,
    TimeSignature,
    ToTheEnd,
    Whole,
    WithinSource,
    WrittenFormat,
)
from trackfarm.catalog.option_problems import option_problems
from trackfarm.catalog.sound_options import SoundOptions
from trackfarm.catalog.source_refs import FIELDS, SourceField
from trackfarm.catalog.tasks import task_problems
from trackfarm.catalog.vocabulary import UNKNOWN_LANGUAGE, AudioFormat, Task

NOT_IDENTITY = frozenset({"variations", "tags", "name", "title"})
_OPTION_DEFAULTS = {name: info.default for name, info in SoundOptions.model_fields.items()}
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_LONGEST_CODE = len("<|audio_code_63999|>")


class Brief(SoundOptions):
    """One brief of a catalog; one or more tracks are made from it.

    Accepts ACE-Step's names for every field (docs/catalogs.md lists them all). Raises pydantic's
    `ValidationError`, which `brief_problems` turns into readable messages.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, cache_strings="none"
    )

    prompt: Text = Field(
        min_length=1,
        max_length=4096,
        description="What the music should be. The model reads about the first 256 tokens.",
    )
    duration: Real = Field(
        ge=10,
        le=600,
        description="Seconds of music. For a task with a source: the source's length.",
    )
    lyrics: Lyrics = Field(
        "",
        max_length=16_384,
        description="Words to sing; empty means instrumental. The model reads 2048 tokens.",
    )
    bpm: Whole | None = Field(None, ge=30, le=300, description="Beats per minute.")
    key_scale: Key | None = Field(None, description="Musical key.")
    time_signature: TimeSignature | None = Field(None, description="Beats of a bar.")
    vocal_language: Language = Field(UNKNOWN_LANGUAGE, description="Language of the lyrics.")
    seed: Whole | None = Field(
        None, ge=0, le=2**32 - 1, description="Fixes the noise. -1 or empty: one is derived."
    )
    inference_steps: Whole | None = Field(
        None, ge=1, le=200, description="Denoising steps. Empty: the model set's own."
    )
    guidance_scale: Real | None = Field(
        None, ge=1, le=30, description="How closely to follow the prompt. Turbo models have none."
    )
    shift: Real | None = Field(None, ge=1, le=5, description="Shift of the noise schedule.")
    task_type: Annotated[Task, Lower] = Field("text2music", description="What to make.")
    src_audio: SourceName | None = Field(
        None,
        min_length=1,
        max_length=2048,
        description="The music the task works on: a file, a URL, an upload or an object.",
    )
    reference_audio: SourceName | None = Field(
        None,
        min_length=1,
        max_length=2048,
        description="Music to take the timbre from: a file, a URL, an upload or an object.",
    )
    audio_code_string: AudioCodes | None = Field(
        None, max_length=3000 * _LONGEST_CODE, description="ACE-Step audio codes, 5 a second."
    )
    audio_cover_strength: Real = Field(
        1.0, ge=0, le=1, description="Share of the steps that follow the source or the codes."
    )
    repainting_start: Annotated[Real, WithinSource] = Field(
        0.0, ge=0, le=600, description="Second where the part to regenerate begins."
    )
    repainting_end: Annotated[Real | None, ToTheEnd] = Field(
        None, ge=0, le=600, description="Second where it ends. -1 or empty: at the end."
    )
    track_name: Instrument | None = Field(None, description="The instrument to extract or add.")
    track_classes: Instruments = Field((), description="The instruments to complete it with.")
    audio_format: Annotated[AudioFormat, Lower, WrittenFormat] = Field(
        "mp3", description="Kind of audio file."
    )
    loudness_lufs: Real | None = Field(
        None, ge=-40, le=0, description="Turns a louder track down to this, never up."
    )
    variations: Whole = Field(1, ge=1, le=1000, description="How many tracks to make of it.")
    tags: Tags = Field({}, max_length=32, description="Your labels, for searching and exporting.")
    name: FileStem | None = Field(
        None, max_length=120, description="File name for the export, without the ending."
    )
    title: Text | None = Field(
        None, min_length=1, max_length=200, description="Title shown to people."
    )

    @property
    def is_instrumental(self) -> bool:
        """True if there are no lyrics."""
        return not self.lyrics

    def sources(self) -> Iterator[tuple[SourceField, str]]:
        """Yield the sources named by the brief, with their fields."""
        for field in FIELDS:
            reference: str | None = getattr(self, field)
            if reference is not None:
                yield field, reference

    def canonical(self) -> str:
        """Return the brief as compact JSON with sorted keys: equal text means equal audio files.

        `variations`, `tags`, `name` and `title` are left out: they set the number of tracks and
        their labels, so relabelling a catalog still finds its tracks. Fields without a value are
        left out, and so are sound options with their default, so that a field added by a later
        release renames no track. Numbers have one form: 10 equals 10.0.
        """
        fields = {
            name: _plain(value) if isinstance(value, float) else value
            for name, value in self.__dict__.items()
            if value is not None
            and value != ()
            and name not in NOT_IDENTITY
            and (name not in _OPTION_DEFAULTS or value != _OPTION_DEFAULTS[name])
        }
        return _CANONICAL.encode(fields)

    @model_validator(mode="before")
    @classmethod
    def _settle_names(cls, data: Any) -> Any:
        return normalised(data) if isinstance(data, Mapping) else data

    @model_validator(mode="after")
    def _fit_the_task(self) -> Self:
        problems = [*task_problems(self), *option_problems(self)]
        if problems:
            wrong = ". ".join(map(str, problems))
            raise PydanticCustomError("task", "{wrong}", {"wrong": wrong, "problems": problems})
        return self


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value
