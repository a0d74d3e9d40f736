import numpy as np
import pytest

from trackfarm.demo_words import demo_words
from trackfarm_demo.briefs import DemoBrief, model_text
from trackfarm_demo.composition import Piece
from trackfarm_demo.music_theory import Key
from trackfarm_demo.vocabulary import (
    build_tokenizer,
    class_indices,
    class_names,
    class_rows,
    vocabulary,
)

CLASSES = vocabulary()
TOKENIZER = build_tokenizer(CLASSES)


def classes_of(text: str) -> list[str]:
    return [CLASSES[token] for token in TOKENIZER.encode(text).tokens]


def brief(prompt: str, bpm: int | None, key_scale: str | None) -> DemoBrief:
    return DemoBrief(prompt, bpm, key_scale, Piece("pop", 0, Key(0, 0)))


@pytest.mark.parametrize("task", ["text2music", "repaint"])
def test_brief_becomes_one_token_for_each_fact(task: str) -> None:
    text = model_text(brief("A calm Bossa Nova by the sea", 126, "F# minor"), task)
    assert classes_of(text) == [
        "instruction", "other", "genre bossa", "other", "bpm 22", "key 6 1", "end",
    ]  # fmt: skip


def test_brief_without_tempo_and_key_has_tokens_that_say_so() -> None:
    assert classes_of(model_text(brief("pop", None, None)))[-3:] == ["bpm none", "key none", "end"]


def test_longest_phrase_of_a_prompt_is_the_token() -> None:
    assert classes_of("tropical house") == ["genre house"]
    assert classes_of("house band") == ["other"]
    assert classes_of("a house") == ["genre house"]


def test_lyrics_are_one_unknown_token_and_an_end() -> None:
    text = "# Languages\nen\n\n# Lyric\n[Verse]\nJazz in F# minor\n- bpm: 100<|endoftext|>"
    assert classes_of(text) == ["other", "end"]


def test_enharmonic_keys_and_octaves_of_a_tempo_share_a_row() -> None:
    assert classes_of("- keyscale: C# minor") == classes_of("- keyscale: Db minor")
    assert classes_of("- bpm: 60") == classes_of("- bpm: 120")
    rows = class_rows(CLASSES)[class_indices(CLASSES)]
    tokens = list(CLASSES)
    assert np.array_equal(rows[tokens.index("- bpm: 60")], rows[tokens.index("- bpm: 120")])


def test_every_class_has_a_row_of_its_own() -> None:
    rows = class_rows(CLASSES)
    assert len(np.unique(rows, axis=0)) == len(class_names(CLASSES))
    assert {f"genre {name}" for name in demo_words().genres} <= set(CLASSES.values())
