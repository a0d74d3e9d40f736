from typing import Any

import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.recipe import Recipe, build_recipe
from trackfarm_worker.engine.child.text_encoder import (
    LYRIC_TOKENS,
    TEXT_TOKENS,
    Texts,
    format_texts,
)


def formatted(stock: Any, request: Any) -> Texts:
    recipe = build_recipe(request, model_set("tiny"))
    assert isinstance(recipe, Recipe)
    return format_texts(stock, recipe)


def test_format_texts_equals_the_stock_pipeline(stock: Any, track: TrackFactory) -> None:
    texts = formatted(stock, track(1, lyrics="la", bpm=90, vocal_language="de", duration=12.5))
    expected = stock._format_prompt(
        prompt="rain", lyrics="la", vocal_language="de", audio_duration=12.5, bpm=90
    )
    assert (texts.text, texts.lyrics) == expected


@pytest.mark.parametrize("letter", ["a", "ß"])
def test_format_texts_shortens_a_long_prompt_and_keeps_the_metadata(
    stock: Any, track: TrackFactory, letter: str
) -> None:
    texts = formatted(stock, track(1, prompt=letter * 3000, bpm=90, lyrics=letter * 9000))
    for text, limit in ((texts.text, TEXT_TOKENS), (texts.lyrics, LYRIC_TOKENS)):
        tokens = len(stock.tokenizer(text).input_ids)
        assert limit - 1 <= tokens <= limit
        assert "<|endoftext|>" in text
    assert "- bpm: 90\n" in texts.text
