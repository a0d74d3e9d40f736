import torch

from trackfarm_worker.engine.child.sampling import limited, smoothed


def test_limited_velocity_is_at_most_a_multiple_of_the_latents() -> None:
    latents, velocity = torch.ones(4, 2), torch.full((4, 2), 3.0)
    assert torch.allclose(limited(velocity, latents, 2.0), torch.full((4, 2), 2.0))
    assert torch.allclose(limited(velocity, latents, 5.0), velocity)
    assert torch.equal(limited(velocity, latents, 0.0), velocity)


def test_smoothed_velocity_has_a_share_of_the_one_before() -> None:
    now, before = torch.tensor([4.0]), torch.tensor([0.0])
    assert smoothed(now, before, 0.25).tolist() == [3.0]
    assert smoothed(now, None, 0.25).tolist() == [4.0]
