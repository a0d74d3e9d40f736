"""Memory formula of ACE-Step 1.5: the work that fits into a card, in GB (10^9 bytes).

    1.0 + weights + 1.1 * max(seconds * rows * pass, windows * (0.17 + 0.0027 * window))
        <= 0.93 card

Derived from the published configurations in bfloat16 with fused attention, not measured on a card.
"""

from trackfarm.model_sets import ModelSet

USABLE = 0.93  # of a card
CONTEXT_GB = 1.0
SLACK = 1.1
PASS_GB_PER_SECOND = {False: 0.78e-3, True: 1.30e-3}  # per second of audio and row, keyed by is_xl
WINDOW_GB, WINDOW_GB_PER_LATENT = 0.17, 0.0027


def free_gb(model_set: ModelSet, card_gb: float, *, offload: bool, int8: bool) -> float:
    """Return the GB left for passes and windows beside weights and context; negative: no fit."""
    weights = model_set.lean_weights_gb if offload else model_set.weights_gb
    weights -= model_set.int8_saves_gb if int8 else 0.0
    return (USABLE * card_gb - CONTEXT_GB - weights) / SLACK


def pass_seconds(model_set: ModelSet, free: float) -> float:
    """Return the padded audio seconds times rows that fit into one pass with `free` GB."""
    return max(free, 0.0) / PASS_GB_PER_SECOND[model_set.is_xl]


def window_gb(window: int) -> float:
    """Return the GB of one decoder window of `window` latent frames."""
    return WINDOW_GB + WINDOW_GB_PER_LATENT * window
