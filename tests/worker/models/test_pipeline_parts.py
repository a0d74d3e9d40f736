import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from trackfarm_worker.models.pipeline_parts import pipeline_scheduler, pipeline_tokenizer


def test_pipeline_scheduler_leaves_the_sigmas_of_the_pipeline_alone() -> None:
    scheduler = pipeline_scheduler()
    sigmas = [1.0, 0.75, 0.3]
    scheduler.set_timesteps(sigmas=sigmas)
    assert scheduler.sigmas.tolist() == pytest.approx([*sigmas, 0.0])
    assert scheduler.timesteps.tolist() == pytest.approx(sigmas)


def test_pipeline_tokenizer_pads_on_the_right_with_the_end_token() -> None:
    words = Tokenizer(models.WordLevel({"<end>": 0, "<unk>": 1, "jazz": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    batch = pipeline_tokenizer(words, end="<end>", unknown="<unk>")(
        ["jazz jazz", "folk"], padding="longest"
    )
    assert batch.input_ids == [[2, 2], [1, 0]]
    assert batch.attention_mask == [[1, 1], [1, 0]]
