"""The scheduler dashboard: dependencies, placement and recovery."""

from trackfarm_dashboards.model import Dashboard, DashboardRow, Unit, Variable, series, stat

KIND = 'tier=~"$tier", model_set=~"$model_set"'
WHERE = (
    Variable("tier", "trackfarm_workers"),
    Variable("model_set", "trackfarm_workers"),
)


def per_minute(metric: str, by: str) -> str:
    return f"60 * sum by ({by}) (max without (instance, job) (rate({metric}[5m])))"


SCHEDULER = Dashboard(
    uid="trackfarm-scheduler",
    title="trackfarm: scheduler",
    text="Health of the scheduler and its dependencies; offers, leases and recovered work.",
    variables=WHERE,
    rows=[
        DashboardRow(
            4,
            [
                stat("Schedulers", 'sum(up{job="trackfarm"})'),
                stat("Leaders", "sum(trackfarm_scheduler_leads)"),
                stat("Broker", "max(trackfarm_broker_up)"),
                stat("Database", "max(trackfarm_database_up)"),
                stat(
                    "Longest request wait",
                    "max(trackfarm_scheduler_lag_seconds)",
                    Unit.SECONDS,
                    alarm=1,
                ),
                stat(
                    "Oldest offer",
                    f"time() - min(trackfarm_oldest_offer_timestamp_seconds{{{KIND}}}) or vector(0)",
                    Unit.SECONDS,
                    alarm=30,
                ),
                stat("Artifacts", "max(trackfarm_object_bytes_total)", Unit.BYTES),
                stat(
                    "Least disk free",
                    "min(trackfarm_disk_free_bytes / trackfarm_disk_size_bytes)",
                    Unit.SHARE,
                    decimals=0,
                ),
            ],
        ),
        DashboardRow(
            7,
            [
                series(
                    "Leases",
                    (
                        f"sum by (state) (max without (instance, job) (trackfarm_leases_live{{{KIND}}}))",
                        "{{state}}",
                    ),
                    stacked=True,
                ),
                series(
                    "Shards in queues",
                    (
                        f"sum by (tier) (max without (instance, job) (trackfarm_queue_shards{{{KIND}}}))",
                        "{{tier}}",
                    ),
                    stacked=True,
                ),
                series(
                    "Leases ended a minute",
                    (per_minute("trackfarm_leases_ended_total", "reason"), "{{reason}}"),
                    stacked=True,
                ),
            ],
        ),
        DashboardRow(
            7,
            [
                series(
                    "Retries a minute",
                    (per_minute("trackfarm_track_retries_total", "reason"), "{{reason}}"),
                    stacked=True,
                ),
                series(
                    "Races and sweeps a minute",
                    ("60 * max(rate(trackfarm_races_decided_total[5m]))", "races decided"),
                    ("60 * max(rate(trackfarm_attempts_swept_total[5m]))", "attempts swept"),
                ),
                series(
                    "Response times",
                    ("max(trackfarm_broker_latency_seconds)", "broker"),
                    ("max(trackfarm_database_latency_seconds)", "database"),
                    ("max(trackfarm_scrape_seconds)", "metrics page"),
                    ("max(trackfarm_survey_seconds)", "counting tracks"),
                    unit=Unit.SECONDS,
                ),
            ],
        ),
        DashboardRow(
            7,
            [
                series(
                    "Scheduler CPU",
                    ('rate(process_cpu_seconds_total{job="trackfarm"}[5m])', "{{instance}}"),
                    unit=Unit.SHARE,
                ),
                series(
                    "Scheduler memory",
                    ('process_resident_memory_bytes{job="trackfarm"}', "{{instance}}"),
                    unit=Unit.BYTES,
                ),
                series(
                    "Longest wait of a request",
                    ("trackfarm_scheduler_lag_seconds", "{{instance}}"),
                    unit=Unit.SECONDS,
                ),
            ],
        ),
    ],
)
