"""Names of a brief's fields, and ACE-Step names that are refused with a reason.

The aliases come from the ACE-Step 1.5 API server. Names are compared without case, `_`, `-` and
spaces, so camelCase and spreadsheet headings (`Vocal Language`) work for every field.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("caption",),
    "duration": ("audio_duration", "target_duration"),
    "lyrics": (),
    "bpm": (),
    "key_scale": ("key",),
    "time_signature": (),
    "vocal_language": ("language",),
    "seed": (),
    "inference_steps": (),
    "guidance_scale": (),
    "shift": (),
    "task_type": (),
    "src_audio": ("src_audio_path", "source_audio_path", "ctx_audio_path"),
    "reference_audio": ("reference_audio_path", "ref_audio_path"),
    "audio_code_string": ("audio_codes",),
    "audio_cover_strength": ("cover_strength",),
    "repainting_start": (),
    "repainting_end": (),
    "chunk_mask_mode": (),
    "repaint_mode": (),
    "repaint_strength": (),
    "repaint_latent_crossfade_frames": (),
    "repaint_wav_crossfade_sec": (),
    "track_name": (),
    "track_classes": ("complete_track_classes", "instruments"),
    "dcw_enabled": (),
    "dcw_mode": (),
    "dcw_scaler": (),
    "dcw_high_scaler": (),
    "cover_noise_strength": (),
    "retake_seed": (),
    "retake_variance": (),
    "infer_method": (),
    "sampler_mode": (),
    "timesteps": (),
    "use_adg": (),
    "cfg_interval_start": (),
    "cfg_interval_end": (),
    "velocity_norm_threshold": (),
    "velocity_ema_factor": (),
    "latent_shift": (),
    "latent_rescale": (),
    "fade_in_duration": (),
    "fade_out_duration": (),
    "audio_format": (),
    "loudness_lufs": ("loudness", "lufs"),
    "variations": ("batch_size",),
    "tags": (),
    "name": (),
    "title": (),
}
SWITCHES = ("use_random_seed", "instrumental")

_TRUE = frozenset({"1", "true", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "no", "n", "off"})
_LANGUAGE_MODEL = "needs a language-model stage, which no model set has yet"
_ADAPTER = "needs adapters, which no model set has yet"
_ELSEWHERE = "is not read here"
_MORPH = "takes the text of the source too, which briefs do not have"
_ENGINE = "is decided by the engine"


@dataclass(frozen=True, slots=True)
class FieldRefusal:
    """Reason for refusing a name. A brief may still contain it with its `off` value."""

    reason: str
    remedy: str = "remove it"
    off: object = None


def fold(name: str) -> str:
    """Return the name without case, `_`, `-` and spaces, for comparison."""
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


_FORMAT = "remove it, or write audio_format for the kind of file"
_REFUSALS: dict[str, FieldRefusal] = {
    "thinking": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "use_format": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "format": FieldRefusal(f"is short for use_format, which {_LANGUAGE_MODEL}", _FORMAT, off=False),
    "sample_mode": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "sample_query": FieldRefusal(_LANGUAGE_MODEL),
    "description": FieldRefusal(f"is short for sample_query, which {_LANGUAGE_MODEL}"),
    "desc": FieldRefusal(f"is short for sample_query, which {_LANGUAGE_MODEL}"),
    "constrained": FieldRefusal(_LANGUAGE_MODEL),
    "constrained_decoding": FieldRefusal(_LANGUAGE_MODEL),
    "constrained_decoding_debug": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "is_format_caption": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "allow_lm_batch": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "parallel_thinking": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "analysis_only": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "full_analysis_only": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "extract_codes_only": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "use_cot": FieldRefusal(_LANGUAGE_MODEL, off=False),
    "model": FieldRefusal(
        _ELSEWHERE, "name the model set in the catalog's header or when submitting"
    ),
    "metas": FieldRefusal(_ELSEWHERE, "write its fields directly in the brief"),
    "param_obj": FieldRefusal(_ELSEWHERE, "write its fields directly in the brief"),
    "instruction": FieldRefusal("follows from task_type"),
    "use_tiled_decode": FieldRefusal(_ENGINE, off=True),
    "flow_edit_morph": FieldRefusal(_MORPH, off=False),
    "global_caption": FieldRefusal("belongs to a model for stems that is not published"),
    "dcw_wavelet": FieldRefusal("is always haar: other wavelets are not computed here", off="haar"),
}
_SAME_REFUSAL = {
    "cot_caption": "use_cot",
    "cot_language": "use_cot",
    "cot_metas": "use_cot",
    "model_name": "model",
    "dit_model": "model",
    "meta": "metas",
    "metadata": "metas",
    "user_metadata": "metas",
}
_REFUSED_PREFIXES = (
    ("usecot", _REFUSALS["use_cot"]),
    ("lm", FieldRefusal(_LANGUAGE_MODEL)),
    ("flowedit", FieldRefusal(_MORPH)),
    ("lora", FieldRefusal(_ADAPTER)),
    ("uselora", FieldRefusal(_ADAPTER, off=False)),
    ("adapter", FieldRefusal(_ADAPTER)),
)
_FIELD_BY_FOLD = {
    fold(name): field for field, aliases in ALIASES.items() for name in (field, *aliases)
} | {fold(name): name for name in SWITCHES}
_REFUSAL_BY_FOLD = {fold(name): refusal for name, refusal in _REFUSALS.items()} | {
    fold(name): _REFUSALS[same] for name, same in _SAME_REFUSAL.items()
}


def field_of(name: str) -> str | None:
    """Return the field (or switch) for a name; None if unknown."""
    return name if name in ALIASES else _FIELD_BY_FOLD.get(fold(name))


def refusal_of(name: str) -> FieldRefusal | None:
    """Return the refusal of a name that ACE-Step has but trackfarm does not support, else None."""
    folded = fold(name)
    if folded in _REFUSAL_BY_FOLD:
        return _REFUSAL_BY_FOLD[folded]
    return next((why for prefix, why in _REFUSED_PREFIXES if folded.startswith(prefix)), None)


@lru_cache(maxsize=1024)  # one misspelt column of a million rows is looked up a million times
def nearest(name: str) -> str | None:
    """Return the field or switch with the most similar name, as a suggestion."""
    matches = difflib.get_close_matches(fold(name[:64]), _FIELD_BY_FOLD, n=1, cutoff=0.7)
    return _FIELD_BY_FOLD[matches[0]] if matches else None


def truth(value: object) -> bool | None:
    """Parse a switch as the ACE-Step server does; None if it is neither true nor false."""
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def renamed(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values under their fields' own names.

    Unknown names stay, as do aliases of a field that already has another value: validation refuses
    both by name.
    """
    fields = {name: value for name, value in values.items() if name in ALIASES}
    if len(fields) == len(values):
        return fields
    for name, value in values.items():
        if name not in fields:
            field = field_of(str(name))
            stored = field is not None and fields.setdefault(field, value) == value
            if not stored:
                fields[str(name)] = value
    return fields


def normalised(values: Mapping[str, object]) -> dict[str, object]:
    """Return the input for the brief model: renamed, switches applied, empty values dropped."""
    fields = {
        name: value
        for name, value in renamed(values).items()
        if value is not None
        and (name == "prompt" or not _is_blank(value))
        and (name in ALIASES or not _is_off(name, value))
    }
    if fields.get("seed") in (-1, "-1"):
        del fields["seed"]
    if not fields.keys() <= ALIASES.keys():
        _apply_switches(fields)
    return fields


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and (not value or value.isspace())


def _is_off(name: str, value: object) -> bool:
    refusal = refusal_of(name)
    if refusal is None or refusal.off is None:
        return False
    if isinstance(refusal.off, bool):
        return truth(value) is refusal.off
    if isinstance(refusal.off, float):
        return _number(value) == refusal.off
    return str(value).strip().lower() == refusal.off


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _apply_switches(fields: dict[str, object]) -> None:
    random_seed = truth(fields.get("use_random_seed"))
    if random_seed is not None:
        del fields["use_random_seed"]
    if random_seed:
        fields.pop("seed", None)
    instrumental = truth(fields.get("instrumental"))
    if instrumental is False or (instrumental and "lyrics" not in fields):
        del fields["instrumental"]
