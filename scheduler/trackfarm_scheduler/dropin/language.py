"""What only a language model could do, which is refused by name (pure)."""

from collections.abc import Iterator, Mapping

from trackfarm.catalog.names import truth
from trackfarm.catalog.problems import Fault, shown

REASON = "needs a language model, which no model set of this farm has"
_SWITCHES = ("thinking", "use_format", "sample_mode")
# ACE-Step itself plans none of these, so that thinking says nothing there.
_UNPLANNED = frozenset({"cover", "repaint", "extract"})
# How a language model decodes that is not asked: the values a client may send without meaning it.
# Those with None are switches of ACE-Step, on or off by default; the rest have its defaults.
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
    """Whether it is a setting of the language model that asks nothing of it."""
    if name not in _IDLE:
        return False
    idle = _IDLE[name]
    return truth(value) is not None if idle is None else str(value).strip() in idle


def language_faults(given: Mapping[str, object], task: str) -> Iterator[Fault]:
    """What asks for a language model, by parameter."""
    if "sample_query" in given:
        yield Fault("sample_query", REASON, "describe the music in prompt")
    for name in _SWITCHES:
        position = truth(given.get(name, False))
        if position is None:
            yield Fault(name, f"{shown(given[name])} is neither true nor false", "write false")
        elif position and not (name == "thinking" and task in _UNPLANNED):
            yield Fault(name, REASON, "send false, or leave it out")


def without_language(given: Mapping[str, object]) -> dict[str, object]:
    """What is left when nothing is asked of a language model."""
    settled = {*_SWITCHES, "sample_query"}
    return {n: v for n, v in given.items() if n not in settled and not is_idle(n, v)}
