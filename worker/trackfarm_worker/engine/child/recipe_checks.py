"""Checks of a requested track: the problems for which the engine refuses it (pure)."""

from itertools import pairwise

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.protocol import EngineTrack

MAX_DURATION = 600.0
MAX_TRIES = 3
LOUDNESS = (-70.0, 0.0)  # from the absolute gate of BS.1770 to full scale
CODEBOOK = 64_000  # 8 * 8 * 8 * 5 * 5 * 5 levels
WINDOWED = frozenset({"repaint", "lego"})


def value_problems(
    track: EngineTrack, model_set: ModelSet, *, seeds: tuple[int, ...], seconds: float
) -> list[str]:
    """Return the problems of values that are out of range."""
    problems = {
        f"duration must be above 0 and at most {MAX_DURATION:g} s, got {seconds:g}": (
            0 < seconds <= MAX_DURATION and seconds * model_set.sample_rate >= 1
        ),
        f"steps must be 1 to {model_set.max_steps} for {model_set.name}, got {track.steps}": (
            track.steps is None or 1 <= track.steps <= model_set.max_steps
        ),
        f"guidance must be 0 to 100, got {track.guidance}": (
            track.guidance is None or 0 <= track.guidance <= 100
        ),
        f"shift must be above 0 and at most 100, got {track.shift}": (
            track.shift is None or 0 < track.shift <= 100
        ),
        f"a seed must be 0 to 2^63 - 1, got {seeds}": (all(0 <= seed < 2**63 for seed in seeds)),
        f"cover_strength must be 0 to 1, got {track.cover_strength}": (
            0 <= track.cover_strength <= 1
        ),
        f"timesteps must fall from at most 1 to 0, in at most {model_set.max_steps} steps": (
            _falls(track.sampler.timesteps, model_set.max_steps)
        ),
        "shares (of cover noise, retake, guidance intervals, velocity EMA) must be 0 to 1": all(
            0 <= share <= 1
            for share in (
                track.start.cover_noise_strength,
                track.start.retake_variance,
                track.sampler.cfg_interval_start,
                track.sampler.cfg_interval_end,
                track.sampler.velocity_ema_factor,
            )
        ),
        "sde takes Euler steps": (
            track.sampler.infer_method == "ode" or track.sampler.sampler_mode == "euler"
        ),
        "repaint strength must be 0 to 1, and its crossfades 0 or more": (
            0 <= track.repaint.strength <= 1
            and (track.repaint.latent_crossfade_frames or 0) >= 0
            and (track.repaint.wav_crossfade_seconds or 0) >= 0
        ),
        f"loudness must be {LOUDNESS[0]:g} to {LOUDNESS[1]:g} LUFS, got {track.loudness_lufs}": (
            track.loudness_lufs is None or LOUDNESS[0] <= track.loudness_lufs <= LOUDNESS[1]
        ),
    }
    return [message for message, is_valid in problems.items() if not is_valid]


def _falls(timesteps: tuple[float, ...], most: int) -> bool:
    levels = [level for level in timesteps if level > 0]
    is_falling = all(a > b for a, b in pairwise(timesteps))
    return not timesteps or (
        is_falling and timesteps[-1] >= 0 and 0 < len(levels) <= most and timesteps[0] <= 1
    )


def task_problems(track: EngineTrack, codes: tuple[int, ...], seconds: float) -> list[str]:
    """Return the problems of inputs that the task needs or does not take."""
    task, has_source = track.task_type, track.source is not None
    start, end = track.repainting_start, track.repainting_end
    stop = seconds if end is None else end
    problems = {
        f"{task!r} needs source audio": has_source or task in {"text2music", "cover"},
        f"{task!r} takes no cover noise": (
            track.start.cover_noise_strength == 0 or task in {"cover", "cover-nofsq"} or bool(codes)
        ),
        "'cover' needs source audio or audio codes": task != "cover" or has_source or bool(codes),
        "'text2music' takes no source audio": task != "text2music" or not has_source,
        f"{task!r} takes no audio codes": not codes or task in {"text2music", "cover"},
        "source audio and audio codes exclude each other": not (has_source and codes),
        "audio_codes contains no audio code": bool(codes) or not (track.audio_codes or "").strip(),
        f"an audio code must be below {CODEBOOK}, got {max(codes, default=0)}": (
            max(codes, default=0) < CODEBOOK
        ),
        f"repainting must begin at 0 to {seconds:g} s and end later, got {start:g} to {stop:g} s": (
            task not in WINDOWED or not has_source or 0 <= start < min(stop, seconds)
        ),
    }
    return [message for message, is_valid in problems.items() if not is_valid]
