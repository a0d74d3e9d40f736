"""Parameters that need a language model, which are refused by name (pure)."""

from collections.abc import Iterator, Mapping

from trackfarm.catalog.names import truth
from trackfarm.catalog.problems import Fault, shown

REASON = "needs a language model, which no model set of this farm has"
_SWITCHES = ("thinking", "use_format", "sample_mode")
# ACE-Step plans none of these tasks itself, so `thinking` has no effect on them.
_UNPLANNED = frozenset({"cover", "repaint", "extract"})
# Decoding settings of a language model, with the values that clients send without asking for one:
# None means any value of an on/off switch; the rest are ACE-Step's defaults.
_IDLE: Mapping[str, frozenset[str] | None] = {
    "use_cot_caption": None,
    "use_cot_language": None,
    "constrained_decoding": None,
    "constrained_decoding_debug": None,
    "allow_lm_batch": None,
    "lm_backend": frozenset({"vllm", "pt"}),
    "lm_temperature": frozenset({"0.85"}),
    "lm_cfg_scale": frozenset({"2.5"}),
    "lm_negative_prompt": frozenset({"NO USER INPUT"}),
    "lm_top_k": frozenset({"0"}),
    "lm_top_p": frozenset({"0.9"}),
    "lm_repetition_penalty": frozenset({"1.0", "1"}),
}


def is_idle(name: str, value: object) -> bool:
    """Return True for a language model setting that has no effect by itself."""
    if name not in _IDLE:
        return False
    idle = _IDLE[name]
    return truth(value) is not None if idle is None else str(value).strip() in idle


def language_faults(given: Mapping[str, object], task: str) -> Iterator[Fault]:
    """Yield a fault for each parameter that needs a language model."""
    if "sample_query" in given:
        yield Fault("sample_query", REASON, "describe the music in prompt")
    for name in _SWITCHES:
        is_on = truth(given.get(name, False))
        if is_on is None:
            yield Fault(name, f"{shown(given[name])} is neither true nor false", "write false")
        elif is_on and not (name == "thinking" and task in _UNPLANNED):
            yield Fault(name, REASON, "send false, or leave it out")


def without_language(given: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that are not for a language model."""
    handled = {*_SWITCHES, "sample_query"}
    return {n: v for n, v in given.items() if n not in handled and not is_idle(n, v)}
