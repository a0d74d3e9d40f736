import hashlib

import pytest
import torch

from trackfarm_worker.models import tiny
from trackfarm_worker.models.checkpoint import COMPONENTS

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


def test_build_makes_the_same_weights_everywhere() -> None:
    pipeline = tiny.build()
    digest = hashlib.sha256()
    for name in sorted(set(COMPONENTS) - {"tokenizer", "scheduler"}):
        for key, tensor in sorted(getattr(pipeline, name).state_dict().items()):
            digest.update(f"{name}.{key} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    assert digest.hexdigest() == "e7a5326e6cf7f77f97c7183653270deae5cc03d33e92ad48b680f030726fff2b"


def test_build_keeps_the_global_random_state() -> None:
    before = torch.random.get_rng_state()
    tiny.build()
    assert torch.equal(before, torch.random.get_rng_state())


def test_tokenizer_pads_on_the_right_and_knows_every_byte() -> None:
    tokenizer = tiny.build().tokenizer
    batch = tokenizer(["ab", "ä \n<|endoftext|>"], padding="longest", return_tensors="pt")
    assert batch.attention_mask.tolist()[0] == [1, 1, 0, 0, 0]
    assert tokenizer.decode(batch.input_ids[1]) == "ä \n<|endoftext|>"
