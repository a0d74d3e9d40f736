import pytest

from trackfarm_worker.engine.child.schedule import custom_levels, levels_from, noise_levels


@pytest.mark.parametrize(
    ("shift", "levels"),
    # The tables of ACE-Step's turbo models.
    [
        (1.0, [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        (2.0, [1.0, 14 / 15, 6 / 7, 10 / 13, 2 / 3, 6 / 11, 0.4, 2 / 9]),
        (3.0, [1.0, 21 / 22, 0.9, 5 / 6, 0.75, 9 / 14, 0.5, 0.3]),
    ],
)
def test_noise_levels_are_those_of_ace_step(shift: float, levels: list[float]) -> None:
    assert noise_levels(8, shift) == pytest.approx((*levels, 0.0))


def test_custom_levels_of_a_distilled_model_are_the_nearest_known_ones() -> None:
    assert custom_levels([0.97, 0.51], is_distilled=True) == pytest.approx([21 / 22, 0.5, 0.0])
    assert custom_levels([0.97, 0.51, 0.0], is_distilled=False) == (0.97, 0.51, 0.0)


def test_levels_from_begin_at_the_nearest_level() -> None:
    levels = noise_levels(4, 1.0)
    assert levels_from(levels, 0.3) == (0.75, 0.5, 0.25, 0.0)
    assert levels_from(levels, 1.0) == (0.25, 0.0)
