"""The jobs dashboard: progress and problems of all jobs. `trackfarm jobs` lists them by name."""

from trackfarm_dashboards.fleet import PLACE, TRACKS, WHERE
from trackfarm_dashboards.model import Dashboard, DashboardRow, Unit, series, stat

SET = 'model_set=~"$model_set"'
KIND = f'tier=~"$tier", {SET}'


def one(metric: str) -> str:
    """Return the query for a gauge that every scheduler exports alike: the value of one
    scheduler."""
    return f"max without (instance, job) ({metric})"


JOBS = Dashboard(
    uid="trackfarm-jobs",
    title="trackfarm: jobs",
    text="Progress of jobs, failures, budgets and deadlines.",
    variables=WHERE,
    rows=[
        DashboardRow(
            4,
            [
                stat("Jobs running", 'max(trackfarm_jobs{state="running"}) or vector(0)'),
                stat("Tracks done", 'max(trackfarm_tracks_present{state="done"})'),
                stat("Tracks failed", 'max(trackfarm_tracks_present{state="failed"})'),
                stat(
                    "Oldest wait",
                    f"time() - min(trackfarm_oldest_waiting_timestamp_seconds{{{SET}}}) or vector(0)",
                    Unit.SECONDS,
                    text="Since the oldest job with waiting tracks was submitted.",
                ),
                stat("Least budget left", "min(trackfarm_job_budget_headroom_ratio)", Unit.SHARE),
                stat(
                    "Least time before a deadline",
                    "min(trackfarm_job_deadline_headroom_seconds)",
                    Unit.SECONDS,
                    text="From the expected end of a job to its deadline.",
                ),
                stat(
                    "Deadlines at risk",
                    "sum(max by (state) (trackfarm_jobs_deadline_at_risk))",
                    alarm=1,
                ),
            ],
        ),
        DashboardRow(
            10,
            [
                series("Jobs by state", (one("trackfarm_jobs"), "{{state}}"), stacked=True),
                series(
                    "Waiting tracks",
                    (one(f"trackfarm_tracks_waiting{{{SET}}}"), "{{model_set}}"),
                    stacked=True,
                ),
                series(
                    "Time left",
                    (f"model_set:trackfarm_eta_seconds{{{SET}}}", "{{model_set}}"),
                    unit=Unit.SECONDS,
                ),
            ],
        ),
        DashboardRow(
            10,
            [
                series(
                    "Tracks per hour",
                    (f"3600 * sum by (model_set) ({TRACKS})", "{{model_set}} done"),
                    (
                        (
                            f'3600 * sum(place:trackfarm_tracks:rate5m{{outcome="failed", {PLACE}}})'
                            " or vector(0)"
                        ),
                        "failed",
                    ),
                ),
                series(
                    "Failed attempts per hour by reason",
                    (
                        f"3600 * sum by (reason) (kind:trackfarm_attempts_failed:rate15m{{{KIND}}})",
                        "{{reason}}",
                    ),
                    stacked=True,
                ),
                series(
                    "Failed and repaired attempts",
                    ("fleet:trackfarm_failed_attempts_share", "failed"),
                    (
                        (
                            f"sum(rate(trackfarm_tracks_remade_total{{{KIND}}}[15m]))"
                            f" / sum({TRACKS}) or vector(0)"
                        ),
                        "made again with another seed",
                    ),
                    unit=Unit.SHARE,
                ),
            ],
        ),
    ],
)
