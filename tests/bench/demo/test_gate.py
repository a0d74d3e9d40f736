import numpy as np
import pytest

from trackfarm_demo.gate import fit_gate
from trackfarm_demo.latents import TRIGGER


@pytest.mark.parametrize("is_note", [True, False])
def test_gate_opens_for_full_triggers_of_its_sign_only(*, is_note: bool) -> None:
    gate = fit_gate(is_note=is_note)
    full = np.array([0.9, 1.0, 1.1]) * TRIGGER
    assert np.allclose(gate.opening(full, 1), 1, atol=0.12)
    if is_note:  # the model has no negative drums
        assert np.abs(gate.opening(-full, 1)).max() < 0.12
        assert np.allclose(gate.opening(-full, -1), 1, atol=0.12)


@pytest.mark.parametrize("is_note", [True, False])
def test_gate_stays_shut_for_small_latents(*, is_note: bool) -> None:
    small = np.linspace(-0.2, 0.2, 41) * TRIGGER
    for sign in (1, -1):
        opening = fit_gate(is_note=is_note).opening(small, sign)
        assert np.abs(opening).max() < 0.01
        assert opening[20] == pytest.approx(0, abs=1e-12)
