from typing import Any

import pytest

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.recipe import Recipe, recipe
from trackfarm_worker.engine.child.text_encoder import LYRIC_TOKENS, TEXT_TOKENS, Texts, texts


def written(stock: Any, ordered: Any) -> Texts:
    made = recipe(ordered, model_set("tiny"))
    assert isinstance(made, Recipe)
    return texts(stock, made)


def test_texts_are_those_of_the_stock_pipeline(stock: Any, track: TrackFactory) -> None:
    found = written(stock, track(1, lyrics="la", bpm=90, vocal_language="de", duration=12.5))
    theirs = stock._format_prompt(
        prompt="rain", lyrics="la", vocal_language="de", audio_duration=12.5, bpm=90
    )
    assert (found.text, found.lyrics) == theirs


@pytest.mark.parametrize("letter", ["a", "ß"])
def test_a_long_prompt_loses_its_own_end_and_not_the_metadata(
    stock: Any, track: TrackFactory, letter: str
) -> None:
    found = written(stock, track(1, prompt=letter * 3000, bpm=90, lyrics=letter * 9000))
    for text, limit in ((found.text, TEXT_TOKENS), (found.lyrics, LYRIC_TOKENS)):
        tokens = len(stock.tokenizer(text).input_ids)
        assert limit - 1 <= tokens <= limit
        assert "<|endoftext|>" in text
    assert "- bpm: 90\n" in found.text
