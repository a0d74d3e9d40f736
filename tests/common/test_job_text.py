"""Jobs and workers in words."""

from tests.common.fake_farm.state import make_ended_job, make_job, make_worker
from trackfarm.job_text import (
    attention,
    audio_note,
    noise_warning,
    progress_words,
    state_words,
    tier_words,
)
from trackfarm.protocol.operator import JobState


def test_progress_words_leave_out_an_unknown_eta() -> None:
    assert progress_words(make_job()) == (
        "running: 1/3 tracks, 120 tracks/h, ETA 60 s, 0 failed, 1 worker"
    )
    text = progress_words(make_job(tracks_per_hour=None, eta_seconds=None, eligible_workers=2))
    assert text == "running: 1/3 tracks, ? tracks/h, 0 failed, 2 workers"


def test_attention_names_the_reason_why_a_job_does_not_progress() -> None:
    assert attention(make_job()) == ""
    paused = attention(make_job(state=JobState.PAUSED, eligible_workers=0))
    assert paused == "paused; `trackfarm resume job_aaaa0001` resumes it"
    waiting = attention(make_job(eligible_workers=0, model_set="demo"))
    assert "no worker serves model set demo" in waiting
    assert "`trackfarm up --model-set demo`" in waiting
    assert attention(make_ended_job(eligible_workers=0)) == ""


def test_attention_shows_the_farms_notice_without_control_characters() -> None:
    notice = attention(make_job(notice="over \x1b[31mbudget"))
    assert notice == "over \N{REPLACEMENT CHARACTER}[31mbudget"


def test_noise_warning_is_empty_for_music() -> None:
    assert noise_warning(make_job(is_noise=False)) == ""
    assert "model set tiny has random weights" in noise_warning(make_job())


def test_audio_note_tells_noise_and_toy_apart_and_is_empty_for_real_models() -> None:
    assert audio_note("tiny", is_noise=True) == noise_warning(make_job())
    assert audio_note("demo", is_noise=False).startswith("`demo` is a 5 MB toy")
    assert audio_note("acestep-v15-turbo", is_noise=False) == ""


def test_state_words_have_the_reason_on_one_line() -> None:
    assert state_words(make_job()) == "running"
    assert state_words(make_job(reason="a\nb")) == "running (a b)"


def test_tier_words_of_a_cpu_are_cpu() -> None:
    worker = make_worker("a")
    assert tier_words(worker) == "cpu"
    assert tier_words(worker.model_copy(update={"gpu": "RTX 4090", "tier": "vram24"})) == "vram24"
