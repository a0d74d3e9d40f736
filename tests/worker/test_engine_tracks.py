from pathlib import Path

from trackfarm.catalog import Brief
from trackfarm.protocol.worker import TrackOrder
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.engine.track_options import (
    CorrectionOptions,
    FinishOptions,
    RepaintOptions,
    SamplerOptions,
    StartOptions,
)
from trackfarm_worker.engine_tracks import engine_track
from trackfarm_worker.sources.cache import TrackSources


def translated(**fields: object) -> EngineTrack:
    brief = Brief.model_validate({"prompt": "p", "duration": 10, **fields})
    order = TrackOrder(
        track_id=3, key="k", seed=7, next_seeds=(8,), brief=brief, object_key="", upload_url=""
    )
    return engine_track(order, TrackSources(source=Path("s.npy")))


def test_engine_track_has_the_defaults_of_the_engine() -> None:
    assert translated() == EngineTrack(
        track_id=3,
        prompt="p",
        duration=10.0,
        seed=7,
        seeds=(7, 8),
        vocal_language="unknown",
        source=Path("s.npy"),
    )


def test_engine_track_has_every_sound_option() -> None:
    track = translated(
        task_type="repaint",
        src_audio="s",
        repainting_start=2,
        repaint_strength=0.3,
        repaint_latent_crossfade_frames=4,
        repaint_wav_crossfade_sec=0.2,
        chunk_mask_mode="explicit",
        dcw_enabled=True,
        dcw_mode="low",
        dcw_scaler=0.1,
        dcw_high_scaler=0.3,
    )
    assert track.repaint == RepaintOptions(
        strength=0.3,
        latent_crossfade_frames=4,
        wav_crossfade_seconds=0.2,
        chunk_mask_mode="explicit",
    )
    assert track.correction == CorrectionOptions(
        enabled=True, mode="low", scaler=0.1, high_scaler=0.3
    )


def test_engine_track_has_every_option_of_the_sampler() -> None:
    track = translated(
        task_type="cover",
        src_audio="s",
        cover_noise_strength=0.3,
        retake_seed=4,
        retake_variance=0.1,
        infer_method="sde",
        timesteps="1,0.5",
        use_adg=True,
        cfg_interval_start=0.1,
        cfg_interval_end=0.9,
        velocity_norm_threshold=2,
        velocity_ema_factor=0.1,
        latent_shift=0.1,
        latent_rescale=0.9,
        fade_in_duration=1,
        fade_out_duration=2,
    )
    assert track.sampler == SamplerOptions(
        infer_method="sde",
        timesteps=(1.0, 0.5),
        use_adg=True,
        cfg_interval_start=0.1,
        cfg_interval_end=0.9,
        velocity_norm_threshold=2.0,
        velocity_ema_factor=0.1,
    )
    assert translated(sampler_mode="heun").sampler.sampler_mode == "heun"
    assert track.start == StartOptions(cover_noise_strength=0.3, retake_seed=4, retake_variance=0.1)
    assert track.finish == FinishOptions(
        latent_shift=0.1, latent_rescale=0.9, fade_in_seconds=1.0, fade_out_seconds=2.0
    )
