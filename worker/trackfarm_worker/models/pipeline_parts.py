"""Parts that are the same in every `AceStepPipeline` that trackfarm puts together."""

from typing import Any

import diffusers
import transformers
from tokenizers import Tokenizer

# Type checkers see only placeholders in these libraries.
_hf: Any = transformers
_df: Any = diffusers


def pipeline_scheduler() -> Any:
    """Return the scheduler. The pipeline computes its own sigmas; other values here silently
    corrupt its input."""
    return _df.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0)


def pipeline_tokenizer(tokenizer: Tokenizer, *, end: str, unknown: str | None = None) -> Any:
    """Return a tokenizer for `transformers`; `end` ends and pads a text. It pads on the right, since
    the text encoder gets no attention mask."""
    return _hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=end,
        eos_token=end,
        unk_token=unknown,
        padding_side="right",
    )
