"""The committed weights, on briefs that the training did not see."""

from collections.abc import Sequence
from typing import Any

import pytest

from trackfarm_demo.briefs import DemoBrief
from trackfarm_demo.evaluation import (
    BriefEvaluation,
    detail,
    evaluate,
    play,
    summary,
    unseen_briefs,
)
from trackfarm_demo.latent_judge import LatentScore, judge
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
BRIEFS = unseen_briefs(24)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    built = demo.build()
    built.set_progress_bar_config(disable=True)
    return built


def scores(
    pipeline: Any, briefs: Sequence[DemoBrief], seconds: float = 16.0, steps: int = 8
) -> list[LatentScore]:
    return [
        judge(play(pipeline, brief, seconds, steps, seed)[0].numpy(), brief.piece)
        for seed, brief in enumerate(briefs)
    ]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def test_unseen_briefs_are_played_in_their_tempo_key_and_genre(pipeline: Any) -> None:
    results = scores(pipeline, BRIEFS)
    right = [s.genre == b.piece.genre for s, b in zip(results, BRIEFS, strict=True)]
    assert sum(result.is_tempo_right for result in results) >= 23
    assert sum(right) >= 22
    assert mean([result.in_scale for result in results]) > 0.98
    assert mean([result.chord_tones for result in results]) > 0.95
    assert mean([result.on_grid for result in results]) > 0.95
    assert max(result.residue for result in results) < 0.6


@pytest.mark.parametrize(("seconds", "steps"), [(60.0, 8), (16.0, 4), (16.0, 20)])
def test_other_lengths_and_numbers_of_steps_play_as_well(
    pipeline: Any, seconds: float, steps: int
) -> None:
    results = scores(pipeline, BRIEFS[:3], seconds, steps)
    assert all(result.is_tempo_right for result in results)
    assert mean([result.in_scale for result in results]) > 0.95


def test_genres_without_drums_have_none(pipeline: Any) -> None:
    quiet = [brief for brief in BRIEFS[:16] if brief.piece.genre in {"spa", "piano"}]
    assert max(result.drums_per_second for result in scores(pipeline, quiet)) < 0.5


@pytest.fixture(scope="module")
def heard(pipeline: Any) -> list[BriefEvaluation]:
    return list(evaluate(pipeline, BRIEFS[1:4], seconds=10.0, steps=8))


def test_audio_is_heard_in_its_tempo_and_key(heard: list[BriefEvaluation]) -> None:
    assert summary(heard)["tempo right (audio)"] == "3 of 3"
    assert all(result.brief.piece.key in result.heard.keys for result in heard)
    assert all(result.heard.in_scale(result.brief.piece.key) > 0.85 for result in heard)
    assert all(result.hash_db < -38 for result in heard)


def test_detail_names_the_request_and_the_sound(heard: list[BriefEvaluation]) -> None:
    line = detail(heard[0])
    assert heard[0].brief.prompt[:20] in line
    assert str(heard[0].brief.key_scale) in line
