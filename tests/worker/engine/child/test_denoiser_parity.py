"""The engine makes the latents that ACE-Step's own code made, alone and in a mixed batch.

bench/trackfarm_parity/README.md says how the latents in `golden/` were made and are renewed.
"""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.worker.engine.official_models import golden_latents, write_official_model
from trackfarm_parity.cases import ALL, ParityCase, cases_of
from trackfarm_parity.engine_side import (
    Latents,
    SmallEngine,
    small_engine,
    use_one_thread,
    write_parts,
)

# A third of the limit, relative to the largest latent: they reach about 10, and sums differ between
# processors.
SHARE = 1 / 3
BATCH = 9

EngineFactory = Callable[[str], SmallEngine]


@pytest.fixture(scope="module")
def engine_of(tmp_path_factory: pytest.TempPathFactory) -> EngineFactory:
    work = tmp_path_factory.mktemp("parity")
    use_one_thread()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.nn.utils.weight_norm`")
        write_parts(work)

    @cache
    def make(name: str) -> SmallEngine:
        write_official_model(name, work)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.nn.utils.weight_norm`")
            return small_engine(name, work)

    return make


def error(ours: Latents, theirs: Latents) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


def golden_cases(model: str) -> list[ParityCase]:
    return [case for case in cases_of(model) if case.is_golden(model)]


@pytest.mark.parametrize(
    ("model", "case"),
    [pytest.param(m, c, id=f"{m}: {c.name}") for m in ALL for c in golden_cases(m)],
)
def test_denoiser_makes_the_latents_of_ace_step(
    engine_of: EngineFactory, model: str, case: ParityCase
) -> None:
    (latents,) = engine_of(model).latents([case])
    assert error(latents, golden_latents(model)[case.name]) < SHARE * case.limit


@pytest.mark.parametrize("model", ALL)
def test_denoiser_makes_the_latents_of_ace_step_in_mixed_batches(
    engine_of: EngineFactory, model: str
) -> None:
    golden, cases = golden_latents(model), golden_cases(model)
    # Mixed: neighbours in the list are alike.
    mixed = [case for first in range(4) for case in cases[first::4]]
    for first in range(0, len(mixed), BATCH):
        batch = (mixed[first:] + mixed)[:BATCH]
        for case, latents in zip(batch, engine_of(model).latents(batch), strict=True):
            assert error(latents, golden[case.name]) < SHARE * case.limit, case.name


def test_golden_latents_are_those_of_the_cases() -> None:
    for model in ALL:
        assert list(golden_latents(model)) == [case.name for case in golden_cases(model)]


def test_golden_latents_stay_small() -> None:
    folder = Path(__file__).parent.parent / "golden"
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) < 900_000
