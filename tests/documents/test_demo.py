"""docs/demo.md has every word that the model set `demo` knows, and its tempo range."""

from tests.documents.pages import ROOT
from trackfarm.demo_words import Genre, demo_words

PAGE = (ROOT / "docs" / "demo.md").read_text("utf-8")


def row(name: str, genre: Genre) -> str:
    words, hints = (", ".join(texts) for texts in (genre.words, genre.hints))
    return f"| {name} | {genre.bpm:g} | {genre.key} | {words} | {hints} |"


def test_demo_page_has_the_words_of_each_genre() -> None:
    rows = [row(name, genre) for name, genre in demo_words().genres.items()]
    assert [line for line in PAGE.splitlines() if line in rows] == rows, "\n".join(rows)


def test_demo_page_has_the_default_genre_and_the_tempo_range() -> None:
    words = demo_words()
    assert f"plays {words.default}" in PAGE
    assert f"{words.min_bpm:g} to {words.max_bpm:g} bpm" in PAGE
