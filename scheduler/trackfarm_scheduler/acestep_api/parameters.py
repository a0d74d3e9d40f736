"""Parameters of ACE-Step's API (pure): names and aliases, and the ones that need a language model,
which are refused by name.

Source: `docs/en/API.md` of ACE-Step 1.5, section 4.2. Names are compared without case, `_`, `-`
and spaces, so snake_case and camelCase are equal; a parameter may be in a nested object.
"""

import json
from collections.abc import Iterator, Mapping

from trackfarm.catalog.errors import FieldProblem, quoted
from trackfarm.catalog.field_names import field_of, fold, truth

NESTED = frozenset({"metas", "metadata", "usermetadata"})
TOKEN = "ai_token"  # noqa: S105 - a name, not a token
_OWN = {
    "model": ("model_name", "dit_model"),
    "thinking": (),
    "sample_mode": (),
    "sample_query": ("description", "desc"),
    "use_format": ("format",),
    "use_cot_caption": ("cot_caption",),
    "use_cot_language": ("cot_language",),
    "constrained_decoding": ("constrained",),
    "instruction": (),
    TOKEN: (),
}
_BY_FOLD = {fold(name): own for own, others in _OWN.items() for name in (own, *others)}
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


def canonical(name: str) -> str:
    """Return the brief's name of a parameter, else ACE-Step's; unknown names are unchanged."""
    return _BY_FOLD.get(fold(name)) or field_of(name) or name


def is_blank(value: object) -> bool:
    """True for a value without content, such as an empty field of a form."""
    return value is None or (isinstance(value, str) and not value.strip())


def flatten_parameters(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that are not blank, by canonical name.

    Top-level values win over nested ones, and the first of several aliases wins over the others.
    """
    outer: dict[str, object] = {}
    inner: dict[str, object] = {}
    for name, value in parameters.items():
        if fold(name) in NESTED:
            _add(inner, _object(value))
        else:
            _add(outer, {name: value})
    return inner | outer


def _add(to: dict[str, object], values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if not is_blank(value):
            to.setdefault(canonical(name), value)


def _object(value: object) -> Mapping[str, object]:
    """Return a nested object, parsed from JSON if it came in a form; empty if it is not one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def is_idle(name: str, value: object) -> bool:
    """Return True for a language model setting that has no effect by itself."""
    if name not in _IDLE:
        return False
    idle = _IDLE[name]
    return truth(value) is not None if idle is None else str(value).strip() in idle


def language_model_problems(parameters: Mapping[str, object], task: str) -> Iterator[FieldProblem]:
    """Yield a fault for each parameter that needs a language model."""
    if "sample_query" in parameters:
        yield FieldProblem("sample_query", REASON, "describe the music in prompt")
    for name in _SWITCHES:
        is_on = truth(parameters.get(name, False))
        if is_on is None:
            yield FieldProblem(
                name, f"{quoted(parameters[name])} is neither true nor false", "write false"
            )
        elif is_on and not (name == "thinking" and task in _UNPLANNED):
            yield FieldProblem(name, REASON, "send false, or leave it out")


def without_language_model(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that are not for a language model."""
    handled = {*_SWITCHES, "sample_query"}
    return {n: v for n, v in parameters.items() if n not in handled and not is_idle(n, v)}
