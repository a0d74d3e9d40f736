"""Metrics of single workers."""

from tests.scheduler.farm_fixture import FarmFixture
from tests.scheduler.metrics.exposed import collector, scraped, value

KIND = {"model_set": "tiny", "tier": "vram24"}


def test_worker_metrics_describe_worker_and_gpu(farm: FarmFixture) -> None:
    worker = farm.join("left", gpu="GeForce RTX 4090", provider="vast", price_per_hour=0.5)
    farm.heartbeat(worker)
    farm.heartbeat(worker, gpu_memory_mib=1024, gpu_utilisation=0.75)
    samples = scraped(collector(farm))
    assert value(samples, "workers", state="ready", gpu="RTX 4090", provider="vast", **KIND) == 1
    mine = {"worker": worker.id}
    assert value(samples, "worker_info", name="left", gpu="GeForce RTX 4090", **mine) == 1
    assert value(samples, "worker_last_heartbeat_timestamp_seconds", **mine) == farm.clock()
    assert value(samples, "worker_gpu_memory_used_bytes", **mine) == 1024**3
    assert value(samples, "worker_gpu_memory_bytes", **mine) == 24_564 * 1024**2
    assert value(samples, "worker_gpu_utilization_ratio", **mine) == 0.75
    assert value(samples, "workers_price_dollars_per_hour", provider="vast") == 0.5


def test_worker_name_cannot_break_the_page(farm: FarmFixture) -> None:
    name = 'a "quoted"\\ name\nof two lines'
    worker = farm.join(name)
    assert value(scraped(collector(farm)), "worker_info", worker=worker.id, name=worker.name) == 1
