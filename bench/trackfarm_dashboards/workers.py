"""The workers dashboard: workers, GPU usage, and time by stage."""

from trackfarm_dashboards.fleet import PLACE, WHERE
from trackfarm_dashboards.model import (
    Dashboard,
    DashboardRow,
    Kind,
    Panel,
    Query,
    Unit,
    series,
    stat,
)

KIND = 'tier=~"$tier", model_set=~"$model_set"'
WORKER_LABELS = "name, gpu, tier, model_set, provider"
INFO = f"max by (worker, {WORKER_LABELS}) (trackfarm_worker_info{{{PLACE}}})"


def workers_in(state: str) -> str:
    chosen = f'trackfarm_workers{{state="{state}", {PLACE}}}'
    return f"sum(max without (instance, job) ({chosen})) or vector(0)"


def of_workers(metric: str) -> str:
    """Return the query for a metric of each worker, joined with the worker's labels."""
    return f"max by (worker) ({metric}) * on (worker) group_left ({WORKER_LABELS}) {INFO}"


def stage_quantile(share: float) -> str:
    rate = f"rate(trackfarm_track_stage_seconds_bucket{{{KIND}}}[15m])"
    return f"histogram_quantile({share}, sum by (stage, le) (max without (instance, job) ({rate})))"


def mean_rate(above: str, below: str) -> str:
    return (
        f"sum by (tier) (max without (instance, job) (rate({above}{{{KIND}}}[15m])))"
        f" / sum by (tier) (max without (instance, job) (rate({below}{{{KIND}}}[15m])))"
    )


AGE = f"time() - ({of_workers('trackfarm_worker_last_heartbeat_timestamp_seconds')})"
PADDING, AUDIO = "trackfarm_padding_audio_seconds_total", "trackfarm_audio_seconds_total"

WORKERS_AND_GPUS = Dashboard(
    uid="trackfarm-workers",
    title="trackfarm: workers and GPUs",
    text="Workers, GPU usage, and the time of a track by stage.",
    variables=WHERE,
    rows=[
        DashboardRow(
            4,
            [
                stat("Ready", workers_in("ready")),
                stat("Busy", workers_in("busy")),
                stat("Lost", workers_in("lost"), alarm=1),
                stat("Quarantined", workers_in("quarantined"), alarm=1),
                stat("Oldest heartbeat", f"max({AGE})", Unit.SECONDS, alarm=30),
                stat(
                    "Speed over real time",
                    f"sum(place:trackfarm_audio_seconds:rate5m{{{PLACE}}})"
                    f" / sum(place:trackfarm_engine_seconds:rate5m{{{PLACE}}})",
                    text="Seconds of audio per engine second.",
                    decimals=1,
                ),
            ],
        ),
        DashboardRow(
            7,
            [
                Panel("Workers: seconds since heartbeat", Kind.TABLE, [Query(AGE)], Unit.SECONDS),
                series(
                    "GPU utilisation",
                    (of_workers("trackfarm_worker_gpu_utilization_ratio"), "{{name}}"),
                    unit=Unit.SHARE,
                ),
                series(
                    "GPU memory in use",
                    (of_workers("trackfarm_worker_gpu_memory_used_bytes"), "{{name}}"),
                    unit=Unit.BYTES,
                ),
            ],
        ),
        DashboardRow(
            7,
            [
                series(
                    "Median seconds per track, by stage",
                    (stage_quantile(0.5), "{{stage}}"),
                    unit=Unit.SECONDS,
                ),
                series(
                    "95th percentile per track, by stage",
                    (stage_quantile(0.95), "{{stage}}"),
                    unit=Unit.SECONDS,
                ),
                series(
                    "Speed over real time, by GPU",
                    (
                        (
                            f"sum by (gpu) (place:trackfarm_audio_seconds:rate5m{{{PLACE}}})"
                            f" / sum by (gpu) (place:trackfarm_engine_seconds:rate5m{{{PLACE}}})"
                        ),
                        "{{gpu}}",
                    ),
                ),
            ],
        ),
        DashboardRow(
            7,
            [
                series(
                    "Batch size per track",
                    (
                        mean_rate(
                            "trackfarm_track_batch_size_sum", "trackfarm_track_batch_size_count"
                        ),
                        "{{tier}}",
                    ),
                ),
                series(
                    "Padding relative to audio",
                    (mean_rate(PADDING, AUDIO), "{{tier}}"),
                    unit=Unit.SHARE,
                ),
                series(
                    "Workers lost and quarantined",
                    ("max(trackfarm_workers_lost_total)", "lost"),
                    ("max(trackfarm_workers_quarantined_total)", "quarantined"),
                ),
            ],
        ),
    ],
)
