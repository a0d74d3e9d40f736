"""Per-worker metrics: one series per worker for a few metrics; a worker that leaves disappears.

The text is written here, because a thousand workers are nine tenths of a page and the client
library takes longer for them than a scrape may take.
"""

from collections.abc import Iterable, Iterator, Sequence

from trackfarm_scheduler.db.farm_metrics import WorkerSample
from trackfarm_scheduler.db.totals import provider_label

MIB = 1024 * 1024
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def pages(workers: Sequence[WorkerSample]) -> Iterator[str]:
    """Yield blocks of the text format, version 0.0.4."""
    yield _block("info", "Labels of a worker.", ((_info_labels(w), 1) for w in workers))
    last_seen = ((w.id, w.last_seen) for w in workers)
    yield _named("last_heartbeat_timestamp_seconds", "Time of the last heartbeat.", last_seen)
    total_memory = ((w.id, w.memory_mib * MIB) for w in workers if w.gpu_memory_mib is not None)
    yield _named("gpu_memory_bytes", "GPU memory of the worker.", total_memory)
    used_memory = ((w.id, w.gpu_memory_mib * MIB) for w in workers if w.gpu_memory_mib is not None)
    yield _named("gpu_memory_used_bytes", "GPU memory in use.", used_memory)
    utilization = ((w.id, w.gpu_utilisation) for w in workers if w.gpu_utilisation is not None)
    yield _named(
        "gpu_utilization_ratio", "Share of the last second in which the GPU was busy.", utilization
    )


def _info_labels(w: WorkerSample) -> str:
    return (
        f'worker="{w.id}",name="{_escaped(w.name)}",gpu="{_escaped(w.gpu)}",tier="{w.tier}"'
        f',model_set="{w.model_set}",provider="{provider_label(w.provider)}"'
    )


def _escaped(text: str) -> str:
    """Escape text that workers report about themselves, so that it stays within its quotes."""
    return text if text.isalnum() else text.translate(_ESCAPES)


def _named(name: str, text: str, values: Iterable[tuple[str, float]]) -> str:
    return _block(name, text, ((f'worker="{worker_id}"', value) for worker_id, value in values))


def _block(name: str, text: str, samples: Iterable[tuple[str, float]]) -> str:
    name = f"trackfarm_worker_{name}"
    lines = [f"{name}{{{labels}}} {value}" for labels, value in samples]
    return "\n".join([f"# HELP {name} {text}", f"# TYPE {name} gauge", *lines, ""])
