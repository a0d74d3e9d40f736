"""Tags in finished files."""

import pytest

from trackfarm.catalog import Brief
from trackfarm_worker.audio_tags import TrackProvenance, labels, notice, short


def test_a_title_is_the_first_that_there_is() -> None:
    prompt = "calm piano " * 20
    origin = TrackProvenance("job_1", "acestep-v15-turbo")
    made = Brief(prompt=prompt, duration=10, name="lobby-1", title="Lobby")
    assert labels(made, 7, origin)["title"] == "Lobby"
    assert labels(made.model_copy(update={"title": None}), 7, origin)["title"] == "lobby-1"
    plain = labels(Brief(prompt=prompt, duration=10), 7, origin)
    assert plain["title"] == short(prompt)
    assert plain["comment"] == prompt.strip()
    assert (plain["seed"], plain["job"], plain["model_set"]) == ("7", "job_1", origin.model_set)


@pytest.mark.parametrize("prompt", ["x", "two words", "word " * 100, "w" * 500, "\n a \n b"])
def test_short_titles_are_short_and_never_empty(prompt: str) -> None:
    assert 0 < len(short(prompt)) <= 80
    assert "\n" not in short(prompt)


def test_the_notice_names_the_licence_and_calls_noise_noise() -> None:
    assert "ACE-Step 1.5 (MIT)" in notice("acestep-v15-turbo")
    assert notice("tiny").startswith("Noise")
    assert "ACE-Step 1.5 by trackfarm" in notice("")


def test_what_is_not_known_is_left_out() -> None:
    assert "model_set" not in labels(
        Brief(prompt="p", duration=10), 1, TrackProvenance("job_1", "")
    )
