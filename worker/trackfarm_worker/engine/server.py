"""The engine process's inside: loads one model, then makes batch after batch."""

import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NoReturn

import diffusers
import torch
import transformers

from trackfarm.model_sets import model_set
from trackfarm_worker.engine.maker import TrackMaker
from trackfarm_worker.engine.messages import (
    BatchDone,
    EngineTrack,
    Progress,
    Ready,
    Report,
    Result,
    Run,
    Setup,
    Stopped,
)
from trackfarm_worker.engine.orders import Orders
from trackfarm_worker.models.loader import load

Send = Callable[[Report], None]


class EngineServer:
    """Makes the tracks of one batch after the other, in order, on one device."""

    def __init__(self, maker: TrackMaker, orders: Orders, send: Send, step_delay: float) -> None:
        self._maker = maker
        self._orders = orders
        self._send = send
        self._step_delay = step_delay

    def run(self, batch: Run) -> None:
        """Each track is answered as soon as it is finished, so that it survives a later stop."""
        for track in batch.tracks:
            self._send(self._answer(batch.batch_id, track))
        self._orders.forget(batch.batch_id)
        self._send(BatchDone(batch_id=batch.batch_id))

    def _answer(self, batch_id: int, track: EngineTrack) -> Result:
        if self._orders.is_stopped(batch_id, track.track_id):
            return Stopped(track_id=track.track_id)

        def note(progress: Progress) -> bool:
            self._send(progress)
            if self._step_delay and progress.stage == "denoise":
                self._orders.pause(self._step_delay, batch_id, track.track_id)
            return not self._orders.is_stopped(batch_id, track.track_id)

        return self._maker.make(track, f"{batch_id}-{track.track_id}", note)


def serve(setup: Setup, orders: Orders, send: Send) -> NoReturn:
    """Loads the model, then serves until `Orders` ends the process with its parent.

    Raises ModelNotReady when the weights are not there, or not whole.
    """
    maker, ready = _prepare(setup)
    send(ready)
    server = EngineServer(maker, orders, send, setup.step_delay)
    while True:
        server.run(orders.next_batch())


def _prepare(setup: Setup) -> tuple[TrackMaker, Ready]:
    began = time.perf_counter()
    torch.set_num_threads(setup.threads)
    # diffusers 0.42 builds its VAE with a form of weight norm that torch calls deprecated.
    warnings.filterwarnings("ignore", message="`torch.nn.utils.weight_norm`")
    _quieten(diffusers)
    _quieten(transformers)
    chosen = model_set(setup.model_set)
    loaded = load(chosen, setup.source, device=setup.device, dtype=setup.dtype)
    setup.spool.mkdir(parents=True, exist_ok=True)
    ready = Ready(
        model_set=chosen.identity,
        digests=loaded.digests,
        load_seconds=time.perf_counter() - began,
        versions={name: version(name) for name in ("torch", "diffusers", "transformers")},
    )
    return TrackMaker(loaded.pipeline, chosen, setup.spool), ready


def _quieten(library: Any) -> None:
    library.utils.logging.disable_progress_bar()
