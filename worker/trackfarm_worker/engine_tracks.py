"""Translation of a track's order into the engine's message (pure)."""

from trackfarm.protocol.worker import TrackOrder
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.engine.track_options import (
    CorrectionOptions,
    FinishOptions,
    RepaintOptions,
    SamplerOptions,
    StartOptions,
)
from trackfarm_worker.sources.cache import TrackSources


def engine_track(order: TrackOrder, sources: TrackSources) -> EngineTrack:
    """Return the order with its fetched sources as the engine reads it."""
    brief = order.brief
    return EngineTrack(
        track_id=order.track_id,
        prompt=brief.prompt,
        duration=brief.duration,
        seed=order.seed,
        seeds=(order.seed, *order.next_seeds),
        lyrics=brief.lyrics,
        bpm=brief.bpm,
        key_scale=brief.key_scale,
        time_signature=brief.time_signature,
        vocal_language=brief.vocal_language,
        steps=brief.inference_steps,
        guidance=brief.guidance_scale,
        shift=brief.shift,
        task_type=brief.task_type,
        source=sources.source,
        reference=sources.reference,
        audio_codes=brief.audio_code_string,
        cover_strength=brief.audio_cover_strength,
        repainting_start=brief.repainting_start,
        repainting_end=brief.repainting_end,
        track_name=brief.track_name,
        track_classes=brief.track_classes,
        loudness_lufs=brief.loudness_lufs,
        repaint=RepaintOptions(
            mode=brief.repaint_mode,
            strength=brief.repaint_strength,
            latent_crossfade_frames=brief.repaint_latent_crossfade_frames,
            wav_crossfade_seconds=brief.repaint_wav_crossfade_sec,
            chunk_mask_mode=brief.chunk_mask_mode,
        ),
        correction=CorrectionOptions(
            enabled=brief.dcw_enabled,
            mode=brief.dcw_mode,
            scaler=brief.dcw_scaler,
            high_scaler=brief.dcw_high_scaler,
        ),
        sampler=SamplerOptions(
            infer_method=brief.infer_method,
            sampler_mode=brief.sampler_mode,
            timesteps=brief.timesteps,
            use_adg=brief.use_adg,
            cfg_interval_start=brief.cfg_interval_start,
            cfg_interval_end=brief.cfg_interval_end,
            velocity_norm_threshold=brief.velocity_norm_threshold,
            velocity_ema_factor=brief.velocity_ema_factor,
        ),
        start=StartOptions(
            cover_noise_strength=brief.cover_noise_strength,
            retake_seed=brief.retake_seed,
            retake_variance=brief.retake_variance,
        ),
        finish=FinishOptions(
            latent_shift=brief.latent_shift,
            latent_rescale=brief.latent_rescale,
            fade_in_seconds=brief.fade_in_duration,
            fade_out_seconds=brief.fade_out_duration,
        ),
    )
