"""Prompts and lyrics for the text encoder, shortened to fit."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trackfarm_worker.engine.child.recipe import COVERS, Recipe

# Token limits of diffusers' AceStepPipeline.
TEXT_TOKENS = 256
LYRIC_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Texts:
    text: str
    lyrics: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Right-padded tokens: ids and masks (tracks, tokens); masks are True at tokens."""

    ids: torch.Tensor
    mask: torch.Tensor


def format_texts(pipeline: Any, recipe: Recipe, *, task: str | None = None) -> Texts:
    """Return the texts in the format of diffusers' pipeline, with the instruction of `task`
    (default: the recipe's).

    A prompt or lyrics that are too long lose their own end. The stock pipeline truncates the whole
    text instead, which loses the metadata and the end mark.
    """
    instruction = pipeline._get_task_instruction(
        # diffusers knows one kind of cover; both have the same instruction.
        task_type=task or ("cover" if recipe.task in COVERS else recipe.task),
        track_name=recipe.track_name,
        complete_track_classes=list(recipe.track_classes),
    )

    def formatted(prompt: str, lyrics: str) -> Texts:
        return Texts(
            *pipeline._format_prompt(
                prompt=prompt,
                lyrics=lyrics,
                vocal_language=recipe.vocal_language,
                audio_duration=recipe.duration,
                instruction=instruction,
                bpm=recipe.bpm,
                keyscale=recipe.key_scale,
                timesignature=recipe.time_signature,
            )
        )

    def count(text: str) -> int:
        return len(pipeline.tokenizer(text).input_ids)

    prompt = _truncate(recipe.prompt, lambda words: count(formatted(words, "").text), TEXT_TOKENS)
    lyrics = _truncate(
        recipe.lyrics, lambda words: count(formatted("", words).lyrics), LYRIC_TOKENS
    )
    return formatted(prompt, lyrics)


def _truncate(words: str, count: Callable[[str], int], limit: int) -> str:
    if count(words) <= limit:
        return words
    return words[
        : max(bisect_right(range(len(words)), limit, key=lambda n: count(words[:n])) - 1, 0)
    ]


def tokenise(tokenizer: Any, lines: Sequence[str], limit: int, device: torch.device) -> Tokens:
    tokens = tokenizer(
        list(lines), padding="longest", truncation=True, max_length=limit, return_tensors="pt"
    )
    return Tokens(tokens.input_ids.to(device), tokens.attention_mask.to(device).bool())
