from collections.abc import Iterator

import pytest
import torch

from trackfarm_demo import training
from trackfarm_demo.training import Progress, train

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("trackfarm_demo.training_batch.BATCH", 6)
    monkeypatch.setattr(training, "WARMUP_STEPS", 5)
    monkeypatch.setattr(training, "REPORT_STEPS", 20)
    yield
    torch.set_num_threads(threads)


def test_training_lowers_the_losses() -> None:
    reports: list[Progress] = []
    train(seed=1, steps=60, on_progress=reports.append)
    assert [report.step for report in reports] == [20, 40, 60]
    assert reports[-1].velocity_loss < 0.9 * reports[0].velocity_loss
    assert reports[-1].chord_loss < reports[0].chord_loss


def test_training_twice_with_one_seed_gives_the_same_weights() -> None:
    first, second = (train(seed=2, steps=4) for _ in range(2))
    for name, network in first.items():
        others = second[name].state_dict()
        assert all(torch.equal(value, others[key]) for key, value in network.state_dict().items())


def test_training_leaves_the_clock_and_the_silent_parts_alone() -> None:
    before, after = (train(seed=1, steps=steps) for steps in (1, 4))
    for part in ("silence_latent", "null_condition_emb"):
        assert torch.equal(
            before["condition_encoder"].state_dict()[part],
            after["condition_encoder"].state_dict()[part],
        )
    assert not after["condition_encoder"].state_dict()["null_condition_emb"].any()
