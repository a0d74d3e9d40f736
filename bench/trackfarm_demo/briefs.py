"""Random briefs for the training and the evaluation, and the text that the model reads of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import diffusers
import numpy as np
from diffusers.pipelines.ace_step.pipeline_ace_step import SFT_GEN_PROMPT, TASK_INSTRUCTIONS

from trackfarm.demo_words import demo_words, named_genres, played_genre
from trackfarm_demo.composition import Piece
from trackfarm_demo.music_theory import (
    FLATS,
    HIGHEST_BPM,
    LOWEST_BPM,
    MODES,
    SHARPS,
    Key,
    parse_key,
    tempo_index,
)
from trackfarm_demo.vocabulary import NEUTRAL_WORDS, vocabulary

_library: Any = diffusers  # Type checkers see only placeholders.
_metadata_text = _library.AceStepPipeline._build_metadata_string

UNKNOWN_WORDS = [
    "track",
    "for",
    "a",
    "the",
    "tune",
    "quiet",
    "sunset",
    "brushed",
    "deep-sea",
    "of",
    "and",
    "breakfast",
]
WIDE_BPM = range(50, 180)
HINT_SHARE = 0.15  # of prompts that hint at their genre and name no word of it
TEXT_SECONDS = 20.0  # the length is a part of the text, but none that is read


@dataclass(frozen=True, slots=True)
class DemoBrief:
    """A brief as it is written, and the piece that it asks for."""

    prompt: str
    bpm: int | None
    key_scale: str | None
    piece: Piece


def random_brief(
    rng: np.random.Generator,
    *,
    genre: str | None = None,
    no_genre_share: float = 0.06,
    no_metadata_share: float = 0.12,
) -> DemoBrief:
    """Return a brief with any genre (or the given one), tempo and key.

    The two shares are of briefs without a genre word, and without a tempo or a key: these ask for
    the genre's usual one.
    """
    names = list(demo_words().genres)
    chosen = genre or names[rng.integers(len(names))]
    prompt = _prompt(rng, chosen)
    if rng.random() < no_genre_share:
        chosen, prompt = demo_words().default, _neutral_prompt(rng)
    usual = demo_words().genres[chosen]
    bpm, tempo = None, tempo_index(usual.bpm)
    if rng.random() >= no_metadata_share:
        bpm = _bpm(rng)
        tempo = tempo_index(bpm)
    key_scale, key = None, parse_key(usual.key)
    if rng.random() >= no_metadata_share:
        key = Key(int(rng.integers(12)), int(rng.integers(2)))
        spellings = (SHARPS, FLATS)[rng.integers(2)]
        key_scale = f"{spellings[key.tonic]} {MODES[key.mode]}"
    return DemoBrief(prompt, bpm, key_scale, Piece(chosen, tempo, key))


def model_text(brief: DemoBrief, task: str = "text2music") -> str:
    """Return the text of a brief as `AceStepPipeline` writes it for the text encoder."""
    metadata = _metadata_text(
        bpm=brief.bpm, keyscale=brief.key_scale, timesignature=None, audio_duration=TEXT_SECONDS
    )
    text: str = SFT_GEN_PROMPT.format(TASK_INSTRUCTIONS[task], brief.prompt, metadata)
    return text


def _bpm(rng: np.random.Generator) -> int:
    if rng.random() < 0.3:
        return int(rng.integers(WIDE_BPM.start, WIDE_BPM.stop))
    return int(rng.integers(int(LOWEST_BPM), int(HIGHEST_BPM) + 1))


def _prompt(rng: np.random.Generator, genre: str) -> str:
    """Return a prompt that asks for the genre, by its words or (more rarely) by hints alone."""
    while True:
        prompt = _words(rng, genre)
        # Words that meet by chance can name something else: "beach" and "club".
        if named_genres(prompt) == (genre,):
            return prompt


def _words(rng: np.random.Generator, genre: str) -> str:
    words, hints = demo_words().genres[genre].words, demo_words().genres[genre].hints
    is_hinted = bool(hints) and rng.random() < HINT_SHARE
    names = hints if is_hinted else words
    parts = [_neutral(rng) for _ in range(rng.integers(3))]
    parts += [_one(rng, names) for _ in range(2 if rng.random() < 0.3 else 1)]
    if rng.random() < 0.4:
        parts.append(_one(rng, UNKNOWN_WORDS))
    prompt = " ".join(parts)
    if rng.random() < 0.5:
        return prompt
    # "Jazz with harp" is jazz: a word of one genre beats the hints of all others.
    is_distracted = not is_hinted and rng.random() < 0.4
    tail = _one(rng, _all_hints()) if is_distracted else _neutral(rng)
    return prompt + (", ", " with ", " for a ")[rng.integers(3)] + tail


def _neutral_prompt(rng: np.random.Generator) -> str:
    prompt = " ".join(_neutral(rng) for _ in range(rng.integers(4)))
    assert played_genre(prompt) == demo_words().default, prompt
    return prompt


def _neutral(rng: np.random.Generator) -> str:
    return _one(rng, _neutral_words())


def _one(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


@cache
def _neutral_words() -> tuple[str, ...]:
    classes = vocabulary()
    return tuple(word for word in NEUTRAL_WORDS if classes[word] == "other")


@cache
def _all_hints() -> tuple[str, ...]:
    return tuple(hint for genre in demo_words().genres.values() for hint in genre.hints)
