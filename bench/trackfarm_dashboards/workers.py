"""Workers and their GPUs on one screen: who is here, what the cards do, where the time goes."""

from trackfarm_dashboards.fleet import PLACE, WHERE
from trackfarm_dashboards.model import Dashboard, Kind, Panel, Query, Row, Unit, series, stat

KIND = 'tier=~"$tier", model_set=~"$model_set"'
TOLD = "name, gpu, tier, model_set, provider"
INFO = f"max by (worker, {TOLD}) (trackfarm_worker_info{{{PLACE}}})"


def workers_in(state: str) -> str:
    chosen = f'trackfarm_workers{{state="{state}", {PLACE}}}'
    return f"sum(max without (instance, job) ({chosen})) or vector(0)"


def of_workers(metric: str) -> str:
    """A metric of each worker, with what the worker is."""
    return f"max by (worker) ({metric}) * on (worker) group_left ({TOLD}) {INFO}"


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
    text="Who is here, what the cards do, and where the seconds of a track go.",
    variables=WHERE,
    rows=[
        Row(
            4,
            [
                stat("Ready", workers_in("ready")),
                stat("Busy", workers_in("busy")),
                stat("Lost", workers_in("lost"), alarm=1),
                stat("Quarantined", workers_in("quarantined"), alarm=1),
                stat("Oldest heartbeat", f"max({AGE})", Unit.SECONDS, alarm=30),
                stat(
                    "Times faster than it plays",
                    f"sum(place:trackfarm_audio_seconds:rate5m{{{PLACE}}})"
                    f" / sum(place:trackfarm_engine_seconds:rate5m{{{PLACE}}})",
                    text="Seconds of audio for a second of the engine.",
                    decimals=1,
                ),
            ],
        ),
        Row(
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
        Row(
            7,
            [
                series(
                    "Half of all tracks take, by stage",
                    (stage_quantile(0.5), "{{stage}}"),
                    unit=Unit.SECONDS,
                ),
                series(
                    "19 of 20 tracks take, by stage",
                    (stage_quantile(0.95), "{{stage}}"),
                    unit=Unit.SECONDS,
                ),
                series(
                    "Times faster than it plays, by GPU",
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
        Row(
            7,
            [
                series(
                    "Tracks in the batch of a track",
                    (
                        mean_rate(
                            "trackfarm_track_batch_size_sum", "trackfarm_track_batch_size_count"
                        ),
                        "{{tier}}",
                    ),
                ),
                series(
                    "Audio computed only as padding",
                    (mean_rate(PADDING, AUDIO), "{{tier}}"),
                    unit=Unit.SHARE,
                ),
                series(
                    "Lost and quarantined so far",
                    ("max(trackfarm_workers_lost_total)", "lost"),
                    ("max(trackfarm_workers_quarantined_total)", "quarantined"),
                ),
            ],
        ),
    ],
)
