"""The tracks to compare, as briefs of a catalog, and the models that make them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

RATE = 48_000
# An odd number of latents, and 10.36 * 48,000 is exact: upstream loses a latent to rounding else.
SOURCE_SAMPLES = 259 * 1920
REFERENCE_SAMPLES = 30 * RATE  # nothing of it is chosen at random upstream
CODES = "".join(f"<|audio_code_{7919 * number % 64_000}|>" for number in range(50))

TURBO = ("acestep-v15-turbo", "acestep-v15-xl-turbo")
BASE = ("acestep-v15-base", "acestep-v15-xl-base")
STANDARD = (TURBO[0], BASE[0])
ALL = (*TURBO, *BASE)

XL_GOLDEN = ("words", "instrumental", "reference", "cover 0.5", "repaint", "lego window")

_WORDS: Mapping[str, object] = {
    "prompt": "a slow waltz with harp",
    "lyrics": "[verse]\nla la la",
    "duration": 10,
    "bpm": 96,
    "key_scale": "A minor",
    "time_signature": 3,
    "vocal_language": "de",
    "seed": 5,
}
_SOURCE = {"src_audio": "source.npy", "duration": 10.36}
_COVER = _SOURCE | {"task_type": "cover"}
_REPAINT = _SOURCE | {"task_type": "repaint", "repainting_start": 3, "repainting_end": 6.5}
_LEGO = _SOURCE | {"task_type": "lego", "track_name": "drums"}
_HALF = {"audio_cover_strength": 0.5}
_INTERVAL = {"cfg_interval_start": 0.3, "cfg_interval_end": 0.8}
_VELOCITY = {"velocity_norm_threshold": 0.5, "velocity_ema_factor": 0.2}
_LEGO_WINDOW = _LEGO | {"repainting_start": 2.5}


@dataclass(frozen=True, slots=True)
class ParityCase:
    """A brief, without the fields that all have; `models` make it, and their latents differ from
    ACE-Step's by at most `limit`."""

    name: str
    models: tuple[str, ...] = ALL
    fields: Mapping[str, object] = field(default_factory=dict)
    limit: float = 3e-5

    def is_golden(self, model: str) -> bool:
        """Return whether ACE-Step's latents are kept for the tests; of the XL models, which only
        differ in the timbre, some cases are enough."""
        return "-xl-" not in model or self.name in XL_GOLDEN

    def brief(self, model: str) -> dict[str, object]:
        """Return the whole brief. Guided models make fewer steps than usual, to be done sooner."""
        is_usual = model in TURBO or "timesteps" in self.fields
        steps = {} if is_usual else {"inference_steps": 12}
        return {**_WORDS, **steps, **self.fields}


CASES = (
    ParityCase("words"),
    ParityCase("words, no dcw", fields={"dcw_enabled": False}),
    ParityCase("words, dcw", BASE, {"dcw_enabled": True}),
    ParityCase("words, dcw low", TURBO, {"dcw_mode": "low", "dcw_scaler": 0.1}),
    ParityCase("words, dcw high", TURBO, {"dcw_mode": "high", "dcw_scaler": 0.1}),
    ParityCase("words, dcw pix", TURBO, {"dcw_mode": "pix"}),
    ParityCase("instrumental", fields={"lyrics": ""}),
    ParityCase("shift 1", fields={"shift": 1}),
    ParityCase("shift 2, 4 steps", TURBO, {"shift": 2, "inference_steps": 4}),
    ParityCase("50 steps", BASE[:1], {"inference_steps": 50}),
    ParityCase("reference", fields={"reference_audio": "reference.npy"}),
    ParityCase("cover", fields=_COVER),
    ParityCase("cover 0.5", fields=_COVER | {"audio_cover_strength": 0.5}),
    ParityCase("codes", fields={"audio_code_string": CODES}),
    ParityCase("codes 0.5", fields={"audio_code_string": CODES, "audio_cover_strength": 0.5}),
    ParityCase("repaint", fields=_REPAINT),
    ParityCase("repaint 0.2", TURBO, _REPAINT | {"repaint_strength": 0.2}),
    ParityCase("repaint conservative", fields=_REPAINT | {"repaint_mode": "conservative"}),
    ParityCase("repaint aggressive", TURBO[:1], _REPAINT | {"repaint_mode": "aggressive"}),
    ParityCase("repaint explicit", TURBO[:1], _REPAINT | {"chunk_mask_mode": "explicit"}),
    ParityCase("extract", BASE, _SOURCE | {"task_type": "extract", "track_name": "vocals"}),
    ParityCase("lego", BASE, _LEGO),
    ParityCase("lego window", BASE, _LEGO_WINDOW),
    ParityCase(
        "complete", BASE, _SOURCE | {"task_type": "complete", "track_classes": ["bass", "strings"]}
    ),
    ParityCase("sde", TURBO[:1], {"infer_method": "sde"}),
    # The steps leave other noise levels than the model is told, which amplifies rounding.
    ParityCase("sde", BASE[:1], {"infer_method": "sde"}, limit=3e-4),
    ParityCase("sde, repaint", BASE[:1], _REPAINT | {"infer_method": "sde"}, limit=3e-4),
    ParityCase("heun", STANDARD, {"sampler_mode": "heun", "dcw_enabled": True}),
    ParityCase("heun, cover 0.5", STANDARD, _COVER | _HALF | {"sampler_mode": "heun"}),
    ParityCase("adg", BASE[:1], {"use_adg": True}),
    ParityCase("heun, adg", BASE[:1], {"sampler_mode": "heun", "use_adg": True}),
    ParityCase("guidance interval", BASE[:1], _INTERVAL),
    ParityCase("heun, guidance interval", BASE[:1], _INTERVAL | {"sampler_mode": "heun"}),
    ParityCase("timesteps", STANDARD, {"timesteps": [0.97, 0.76, 0.615, 0.5, 0.28, 0.18, 0]}),
    ParityCase("velocity", STANDARD, _VELOCITY),
    ParityCase("heun, velocity", STANDARD, _VELOCITY | {"sampler_mode": "heun"}),
    ParityCase("cover-nofsq 0.5", STANDARD, _COVER | _HALF | {"task_type": "cover-nofsq"}),
    ParityCase("cover noise", STANDARD, _COVER | _HALF | {"cover_noise_strength": 0.4}),
    ParityCase("codes noise", TURBO[:1], {"audio_code_string": CODES, "cover_noise_strength": 0.3}),
    ParityCase("retake", TURBO[:1], {"retake_seed": 9, "retake_variance": 0.3}),
    ParityCase("latents", TURBO[:1], {"latent_shift": 0.1, "latent_rescale": 0.9}),
)


def cases_of(model: str) -> Iterator[ParityCase]:
    """Yield the cases that a model makes."""
    return (case for case in CASES if model in case.models)
