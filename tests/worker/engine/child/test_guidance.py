import torch

from trackfarm_worker.engine.child.guidance import (
    ProjectedGuidance,
    angle_guided,
    plainly_guided,
)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_angle_guided_velocity_turns_clean_latents_by_a_bounded_angle() -> None:
    latents, conditional, unconditional = drawn(3, 20, 8)
    guided = angle_guided(latents, conditional, unconditional, level=0.5, scale=7.0)
    clean, turned = latents - 0.5 * conditional, latents - 0.5 * guided
    angles = torch.acos(torch.cosine_similarity(clean, turned, dim=1))
    assert 0.1 < float(angles.max()) < 3.14 / 4
    # A frame is guided alone, so that a track does not depend on its padding.
    alone = angle_guided(latents[:5], conditional[:5], unconditional[:5], level=0.5, scale=7.0)
    assert torch.allclose(alone, guided[:5], atol=1e-6)


def test_angle_guided_velocity_of_equal_predictions_is_finite() -> None:
    latents, velocity = drawn(2, 20, 8)
    guided = angle_guided(latents, velocity, velocity, level=0.5, scale=7.0)
    assert torch.allclose(guided, velocity, atol=1e-3)


def test_plainly_guided_velocity_is_extrapolated() -> None:
    one, two = torch.tensor([3.0]), torch.tensor([1.0])
    assert plainly_guided(one, two, 2.0).tolist() == [5.0]


def test_projected_guidance_has_a_momentum_per_track() -> None:
    conditional, unconditional = drawn(2, 2, 6, 8)
    scales = torch.full((2, 1, 1), 3.0)
    together, alone = (
        ProjectedGuidance(torch.zeros(2, 6, 8)),
        ProjectedGuidance(torch.zeros(2, 6, 8)),
    )
    both = torch.tensor([0, 1])
    for _ in range(2):
        pair = together.guide(conditional, unconditional, scales, both)
        second = alone.guide(conditional[1:], unconditional[1:], scales[1:], both[1:])
    assert torch.allclose(pair[1:], second)
    first = ProjectedGuidance(torch.zeros(2, 6, 8)).guide(conditional, unconditional, scales, both)
    assert float((first - pair).abs().max()) > 0.01
