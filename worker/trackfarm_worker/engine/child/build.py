"""Construction of an engine from its setup, and its main loop until its parent or its device ends
it."""

import time
import warnings
from functools import partial
from importlib.metadata import version
from typing import Any

import diffusers
import torch
import transformers

from trackfarm.model_sets import ModelSet, model_set
from trackfarm_worker.engine.child.audio_writer import AudioWriter
from trackfarm_worker.engine.child.conditioning import Conditioner
from trackfarm_worker.engine.child.control import ControlChannel
from trackfarm_worker.engine.child.decoder import Decoder
from trackfarm_worker.engine.child.denoiser import Denoiser
from trackfarm_worker.engine.child.device import Device, cap_memory
from trackfarm_worker.engine.child.generate import BatchGenerator, Decoding, Denoising
from trackfarm_worker.engine.child.optimize import accelerate, in_float32
from trackfarm_worker.engine.child.render import Renderer
from trackfarm_worker.engine.child.server import EngineServer, MemoryExhausted, Send, StopRequests
from trackfarm_worker.engine.child.synthetic_device import (
    SyntheticDecoder,
    SyntheticDenoiser,
    SyntheticRenderer,
    SyntheticSourceEncoder,
)
from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.options import SyntheticCost
from trackfarm_worker.engine.protocol import Ready, Setup
from trackfarm_worker.models.loader import load


def serve(setup: Setup, control: ControlChannel, send: Send) -> None:
    """Load the model, then make run after run. Returns when the device's memory is exhausted; when
    the parent exits, `ControlChannel` ends the process.

    Raises ModelNotReady when the weights are missing or incomplete.
    """
    started_at = time.perf_counter()
    torch.set_num_threads(setup.threads)
    # diffusers 0.42 builds its VAE with a form of weight norm that torch calls deprecated.
    warnings.filterwarnings("ignore", message="`torch.nn.utils.weight_norm`")
    _hide_progress_bars(diffusers)
    _hide_progress_bars(transformers)
    chosen = model_set(setup.model_set)
    device = "cpu" if setup.options.synthetic else setup.device
    loaded = load(
        chosen, setup.model_path, device=device, dtype=setup.dtype, weights=setup.options.weights
    )
    setup.spool.mkdir(parents=True, exist_ok=True)
    server = build_server(setup, chosen, loaded.pipeline, control, send, AudioWriter())
    if setup.options.headroom_mib:
        cap_memory(setup.options.headroom_mib)
    send(
        Ready(
            model_set=chosen.identity,
            digests=loaded.digests,
            load_seconds=time.perf_counter() - started_at,
            versions={name: version(name) for name in ("torch", "diffusers", "transformers")},
        )
    )
    while True:
        try:
            server.run(control.next_run())
        except MemoryExhausted:
            return


def build_server(
    setup: Setup,
    chosen: ModelSet,
    pipeline: Any,
    stops: StopRequests,
    send: Send,
    writer: AudioWriter,
) -> EngineServer:
    """Return a server around an `AceStepPipeline` that is on its device."""
    device, time_account = Device(setup, chosen, pipeline), TimeAccount()
    return EngineServer(
        generator=build_generator(
            pipeline, chosen, setup, device=device, time_account=time_account
        ),
        writer=writer,
        device=device,
        model_set=chosen,
        time_account=time_account,
        stops=stops,
        send=send,
        step_delay=setup.step_delay,
    )


def build_generator(
    pipeline: Any, chosen: ModelSet, setup: Setup, *, device: Device, time_account: TimeAccount
) -> BatchGenerator:
    """Return a generator around an `AceStepPipeline`; changes its modules for speed and exactness."""
    accelerate(pipeline, setup.options)
    denoiser, decoder = _passes(pipeline, setup)
    model = pipeline.transformer
    is_precise = model.dtype == torch.float32
    return BatchGenerator(
        conditioner=_conditioner(pipeline, setup.options.synthetic),
        denoiser=denoiser,
        decoder=decoder,
        renderer=(SyntheticRenderer if setup.options.synthetic else Renderer)(chosen),
        time_account=time_account,
        spool=setup.spool,
        sample_rate=chosen.sample_rate,
        synchronise=device.synchronise,
        precise=None if is_precise else partial(in_float32, model),
    )


def _conditioner(pipeline: Any, cost: SyntheticCost | None) -> Conditioner:
    return Conditioner(pipeline, SyntheticSourceEncoder(pipeline, cost) if cost else None)


def _passes(pipeline: Any, setup: Setup) -> tuple[Denoising, Decoding]:
    cost, rate = setup.options.synthetic, pipeline.latents_per_second
    if cost is None:
        expand_heads = setup.options.expand_heads
        return Denoiser(pipeline, expand_heads=expand_heads), Decoder(pipeline.vae)
    hop = pipeline.vae.hop_length
    return (
        SyntheticDenoiser(cost, latents_per_second=rate),
        SyntheticDecoder(cost, latents_per_second=rate, hop=hop),
    )


def _hide_progress_bars(library: Any) -> None:
    library.utils.logging.disable_progress_bar()
