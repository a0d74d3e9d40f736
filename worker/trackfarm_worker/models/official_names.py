"""Names of the weights of an official ACE-Step 1.5 checkpoint in diffusers' AceStepPipeline.

The official checkpoint is one state dict of `AceStepConditionGenerationModel` (677 tensors in the
2B models); its modules `decoder`, `encoder`, `tokenizer` and `detokenizer` are four components of
the pipeline. Sources: the module definitions of ACE-Step/ACE-Step-1.5 (acestep/models) and of
diffusers 0.42 (models/transformers/ace_step_transformer.py, pipelines/ace_step).
"""

from dataclasses import dataclass

WHOLE_MODULES = {
    "decoder.": "transformer",
    "encoder.": "condition_encoder",
    "tokenizer.": "audio_tokenizer",
    "detokenizer.": "audio_token_detokenizer",
}
SINGLE_TENSORS = {"null_condition_emb": "condition_encoder"}
# Positions are computed on each call.
RECOMPUTED = ".rotary_emb.inv_freq"
ATTENTION = {
    ".q_proj.": ".to_q.",
    ".k_proj.": ".to_k.",
    ".v_proj.": ".to_v.",
    ".o_proj.": ".to_out.0.",
    ".q_norm.": ".norm_q.",
    ".k_norm.": ".norm_k.",
}
# Officially Sequential(transpose, convolution, transpose); in diffusers only the convolution.
PATCHES = {"proj_in.1.": "proj_in_conv.", "proj_out.1.": "proj_out_conv."}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A tensor of a component of the pipeline."""

    component: str
    key: str


def place_of(official_key: str) -> Place | None:
    """Return the tensor's place in the pipeline; None for a tensor that diffusers computes itself.

    Raises KeyError for a tensor of an unknown module.
    """
    if official_key.endswith(RECOMPUTED):
        return None
    if component := SINGLE_TENSORS.get(official_key):
        return Place(component, official_key)
    for prefix, component in WHOLE_MODULES.items():
        if official_key.startswith(prefix):
            inner = official_key.removeprefix(prefix)
            return Place(component, _renamed(inner, is_dit=component == "transformer"))
    raise KeyError(official_key)


def _renamed(key: str, *, is_dit: bool) -> str:
    for old, new in ATTENTION.items():
        key = key.replace(old, new)
    if is_dit:
        for old, new in PATCHES.items():
            key = new + key.removeprefix(old) if key.startswith(old) else key
    return key
