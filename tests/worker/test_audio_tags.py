"""Tags in finished files."""

import pytest

from trackfarm.catalog import Brief
from trackfarm_worker.audio_tags import TrackProvenance, copyright_notice, short_title, track_tags


def test_track_tags_take_the_title_from_title_name_or_prompt() -> None:
    prompt = "calm piano " * 20
    provenance = TrackProvenance("job_1", "acestep-v15-turbo")
    brief = Brief(prompt=prompt, duration=10, name="lobby-1", title="Lobby")
    assert track_tags(brief, 7, provenance)["title"] == "Lobby"
    assert track_tags(brief.model_copy(update={"title": None}), 7, provenance)["title"] == "lobby-1"
    plain = track_tags(Brief(prompt=prompt, duration=10), 7, provenance)
    assert plain["title"] == short_title(prompt)
    assert plain["comment"] == prompt.strip()
    assert (plain["seed"], plain["job"], plain["model_set"]) == ("7", "job_1", provenance.model_set)


@pytest.mark.parametrize("prompt", ["x", "two words", "word " * 100, "w" * 500, "\n a \n b"])
def test_short_title_is_short_and_never_empty(prompt: str) -> None:
    assert 0 < len(short_title(prompt)) <= 80
    assert "\n" not in short_title(prompt)


def test_copyright_notice_names_the_licence_or_says_noise() -> None:
    assert "ACE-Step 1.5 (MIT)" in copyright_notice("acestep-v15-turbo")
    assert copyright_notice("tiny").startswith("Noise")
    assert copyright_notice("demo").startswith("Made by trackfarm's demo model")
    assert "ACE-Step" not in copyright_notice("demo")
    assert "ACE-Step 1.5 by trackfarm" in copyright_notice("")


def test_track_tags_leave_out_unknown_values() -> None:
    assert "model_set" not in track_tags(
        Brief(prompt="p", duration=10), 1, TrackProvenance("job_1", "")
    )
