"""The fleet dashboard: output, workers and costs."""

from trackfarm_dashboards.model import Dashboard, DashboardRow, Unit, Variable, series, stat

PLACE = 'tier=~"$tier", model_set=~"$model_set", provider=~"$provider"'
TRACKS = f'place:trackfarm_tracks:rate5m{{outcome="done", {PLACE}}}'
WORKING = f"place:trackfarm_workers_working{{{PLACE}}}"
ENGINE = f"place:trackfarm_engine_seconds:rate5m{{{PLACE}}}"
WORKERS = f"max without (instance, job) (trackfarm_workers{{{PLACE}}})"
PRICE = 'sum(max without (instance, job) (trackfarm_workers_price_dollars_per_hour{provider=~"$provider"}))'
COST = 'bought:trackfarm_cost_dollars_per_hour{provider=~"$provider"}'
WHERE = (
    Variable("tier", "trackfarm_tracks_total"),
    Variable("model_set", "trackfarm_tracks_total"),
    Variable("provider", "trackfarm_tracks_total"),
)

FLEET = Dashboard(
    uid="trackfarm-fleet",
    title="trackfarm: fleet",
    text="Tracks per hour, the workers that make them, and their cost.",
    variables=WHERE,
    rows=[
        DashboardRow(
            4,
            [
                stat("Tracks per hour", f"3600 * sum({TRACKS})", decimals=0),
                stat(
                    "Tracks waiting",
                    'sum(max by (model_set) (trackfarm_tracks_waiting{model_set=~"$model_set"}))'
                    " or vector(0)",
                ),
                stat(
                    "Time left",
                    'max(model_set:trackfarm_eta_seconds{model_set=~"$model_set"}) or vector(0)',
                    Unit.SECONDS,
                    text="For the waiting tracks at the speed of the last five minutes.",
                ),
                stat("Active workers", f"sum({WORKING})"),
                stat("Busy", f"sum({ENGINE}) / sum({WORKING})", Unit.SHARE, decimals=0),
                stat("Paid per hour", PRICE, Unit.DOLLARS, decimals=2),
                stat("Paid per track", f"{PRICE} / (3600 * sum({TRACKS}) > 0)", Unit.DOLLARS),
                stat("Alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)', alarm=1),
            ],
        ),
        DashboardRow(
            10,
            [
                series(
                    "Tracks per hour by tier",
                    (f"3600 * sum by (tier) ({TRACKS})", "{{tier}}"),
                    stacked=True,
                ),
                series(
                    "Tracks per hour by GPU",
                    (f"3600 * sum by (gpu) ({TRACKS})", "{{gpu}}"),
                    stacked=True,
                ),
                series(
                    "Hours of audio per hour",
                    (
                        f"sum by (model_set) (place:trackfarm_audio_seconds:rate5m{{{PLACE}}})",
                        "{{model_set}}",
                    ),
                    stacked=True,
                ),
            ],
        ),
        DashboardRow(
            10,
            [
                series(
                    "Workers by state", (f"sum by (state) ({WORKERS})", "{{state}}"), stacked=True
                ),
                series(
                    "Busy share by tier",
                    (f"sum by (tier) ({ENGINE}) / sum by (tier) ({WORKING})", "{{tier}}"),
                    unit=Unit.SHARE,
                    text="Engine seconds over worker seconds, counted when a track is reported.",
                ),
                series(
                    "Dollars per hour",
                    (PRICE, "paid for workers"),
                    (f"sum by (bought) ({COST})", "engine time for {{bought}}"),
                    unit=Unit.DOLLARS,
                ),
            ],
        ),
    ],
)
