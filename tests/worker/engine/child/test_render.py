"""Rendering for delivery: cut, normalised and checked, in order and beside its producer."""

from threading import Event

import numpy as np
import pytest
import torch

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.render import MAX_PENDING, Rendered, Renderer, RenderQueue

TINY = model_set("tiny")
FAILURE = EngineFailure(FailureKind.SILENT, "nothing")


@pytest.fixture
def one_second(track: TrackFactory) -> TrackTry:
    attempt = first_try(track(1, duration=1.0), TINY, "1")
    assert isinstance(attempt, TrackTry)
    return attempt


def noise(frames: int, amplitude: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return amplitude * torch.randn((2, frames), generator=generator)


def test_renderer_cuts_and_normalises(one_second: TrackTry) -> None:
    rendered = Renderer(TINY).render(one_second, noise(50_000))
    assert isinstance(rendered, Rendered)
    assert rendered.samples.shape == (48_000, 2)
    assert np.abs(rendered.samples).max() == round(10 ** (-1 / 20) * 32_767)
    assert rendered.measures.peak_dbfs == pytest.approx(-1, abs=0.01)


@pytest.mark.parametrize(
    ("amplitude", "kind"), [(0.0, FailureKind.SILENT), (float("nan"), FailureKind.NOT_FINITE)]
)
def test_renderer_returns_why_audio_is_not_delivered(
    one_second: TrackTry, amplitude: float, kind: FailureKind
) -> None:
    failure = Renderer(TINY).render(one_second, noise(48_000, amplitude))
    assert isinstance(failure, EngineFailure)
    assert failure.kind == kind


def test_queue_yields_in_order_and_waits_only_for_too_many_pending(one_second: TrackTry) -> None:
    may_render, rendered = Event(), []

    def render(_: TrackTry, audio: torch.Tensor) -> EngineFailure:
        assert may_render.wait(20)
        rendered.append(len(audio))
        return FAILURE

    queue = RenderQueue(render)
    for number in range(1, MAX_PENDING + 1):
        queue.submit(one_second, torch.zeros(number))
    assert list(queue.finished(wait_for_all=False)) == []
    may_render.set()
    queue.submit(one_second, torch.zeros(MAX_PENDING + 1))
    finished = list(queue.finished(wait_for_all=False))
    finished += queue.finished(wait_for_all=True)
    assert [future.result() for _, future in finished] == [FAILURE] * (MAX_PENDING + 1)
    assert rendered == list(range(1, MAX_PENDING + 2))


def test_queue_cancel_ends_the_active_render_and_drops_the_others(one_second: TrackTry) -> None:
    is_rendering, rendered = Event(), []

    def render(_: TrackTry, audio: torch.Tensor) -> EngineFailure:
        is_rendering.set()
        rendered.append(len(audio))
        return FAILURE

    def render_slowly(track: TrackTry, audio: torch.Tensor) -> EngineFailure:
        failure = render(track, audio)
        Event().wait(0.1)
        return failure

    queue = RenderQueue(render_slowly)
    for number in (1, 2, 3):
        queue.submit(one_second, torch.zeros(number))
    assert is_rendering.wait(20)
    queue.cancel()
    assert rendered == [1]
    assert list(queue.finished(wait_for_all=True)) == []
