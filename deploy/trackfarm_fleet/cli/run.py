"""`trackfarm run`: make a catalog file's tracks on machines that are rented for it alone."""

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from trackfarm.cli.check import require_valid_catalog
from trackfarm.cli.console import ExitCode, complain, err, out, print_json, say
from trackfarm.cli.plan import parse_limits, read_demand
from trackfarm.cli.session import CatalogArgument, JsonOption
from trackfarm.cli.submit import print_submission, submit_file
from trackfarm.cli.watch import exit_code_of, show_until_end
from trackfarm.embedded.signals import SignalFlags
from trackfarm.job_text import attention, state_words
from trackfarm.planning.models import PlanLimits, ShapeCount
from trackfarm.protocol.fleet import FleetDemand, JobLimits
from trackfarm.protocol.operator import JobInfo, JobState
from trackfarm.sdk.submission import SubmitOptions
from trackfarm.text import clean, counted, time_words
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.autoscaler.policy import DAY, RentalPolicy
from trackfarm_fleet.billing.job_costs import costs_by_job, total_breakdown
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.background_rounds import BackgroundRounds
from trackfarm_fleet.cli.options import (
    GpuOption,
    InterruptibleOption,
    MaxPriceOption,
    ProviderOption,
    confirm,
    fleet_settings,
    open_fleet,
    refuse_empty_decision,
    refuse_unready,
)
from trackfarm_fleet.loop import release_lease, return_machines
from trackfarm_fleet.reconciler import Reconciler
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings

LOCAL_TICK_S = 1.0
RUN_WINDOW_S = 30 * DAY  # the budget covers the whole run, however long it is
# Purpose before the job exists: no other machine counts against its budget.
UNSENT = "unsent"


def run(
    catalog: CatalogArgument,
    deadline: Annotated[
        str | None, typer.Option(help="When all must be done: 6h, 90m, 1d12h, 2026-11-27T18:00")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="Limit for the cost of all machines.")
    ] = None,
    provider: ProviderOption = None,
    gpu: GpuOption = None,
    interruptible: InterruptibleOption = False,
    max_price: MaxPriceOption = None,
    machines: Annotated[
        int | None,
        typer.Option("--machines", "-n", min=1, help="Fixed number, whatever the deadline."),
    ] = None,
    model_set: Annotated[
        str | None, typer.Option(help="Override the model set of the catalog.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rent machines, make a catalog's tracks on them, return them, and show the cost.

    Ctrl-C returns the machines and leaves the job; a second one leaves the machines running, too.
    """
    limits = parse_limits(deadline, budget)
    require_valid_catalog(catalog, model_set, as_json=as_json)
    kind, shapes, _ = read_demand(catalog, model_set)
    settings = fleet_settings(
        provider=provider,
        gpu=gpu,
        interruptible=interruptible,
        max_price=max_price,
        model_set=kind.name,
        **_machine_settings(provider, machines),
    )
    options = SubmitOptions(
        model_set=kind.name,
        deadline=_deadline(limits),
        budget=limits.budget,
    )
    with open_fleet(settings) as (fleet, farm):
        policy = _rental_policy(settings, limits)
        refuse_unready(fleet, policy)
        decision = fleet.propose(policy, _demand(kind.name, shapes, limits))[kind.name]
        min_vram = min(shape.min_vram for shape in shapes)
        refuse_empty_decision(fleet, settings, policy, decision, vram=min_vram)
        _show(decision, limits, as_json=as_json)
        confirm("Rent these machines and make the catalog?", yes=yes)
        with SignalFlags() as interrupts:
            execution = _Run(fleet, farm, policy, interrupts, settings.tick_seconds, as_json)
            raise typer.Exit(execution.run(catalog, options))


def _machine_settings(provider: list[str] | None, machines: int | None) -> dict[str, int | float]:
    """Return the settings for the number of machines; local workers always use all their slots."""
    if provider == ["local"]:
        from trackfarm_fleet.providers.local import slots

        number = len(slots(machines or 0))
        local = {"local_workers": machines or 0, "tick_seconds": LOCAL_TICK_S}
        return {"min_machines": number, "max_machines": number, **local}
    return {} if machines is None else {"min_machines": machines, "max_machines": machines}


def _rental_policy(settings: FleetSettings, limits: PlanLimits) -> RentalPolicy:
    return replace(
        settings.rental_policy(),
        purpose=UNSENT,
        is_exclusive=True,
        budget=settings.daily_budget if limits.budget is None else limits.budget,
        budget_window_seconds=RUN_WINDOW_S,
    )


def _deadline(limits: PlanLimits) -> datetime | None:
    if limits.deadline_seconds is None:
        return None
    return datetime.now().astimezone() + timedelta(seconds=limits.deadline_seconds)


def _demand(name: str, shapes: list[ShapeCount], limits: PlanLimits) -> FleetDemand:
    waiting: dict[int, int] = {}
    for shape in shapes:
        waiting[shape.min_vram] = waiting.get(shape.min_vram, 0) + shape.count
    job = JobLimits(
        tracks=sum(waiting.values()), deadline=limits.deadline_seconds, budget=limits.budget
    )
    return FleetDemand(model_set=name, shapes=shapes, waiting=waiting, jobs=[job])


def _show(decision: ScalingDecision, limits: PlanLimits, *, as_json: bool) -> None:
    """Show the machines to be rented, before the confirmation."""
    if as_json:
        print_json({"plan": tables.decision_document(decision)})
    else:
        out().print(tables.rents_table(decision.rent))
        say(tables.decision_words(decision))
    if limits.deadline_seconds is not None and decision.finish_seconds > limits.deadline_seconds:
        late = time_words(limits.deadline_seconds)
        complain(
            f"the deadline in {late} will be missed: no further machine is available within the"
            " budget"
        )


def _note(job: JobInfo) -> str:
    """Return the warning about a job. Without workers, machines are already starting, so do not
    suggest to start others."""
    if job.eligible_workers == 0 and job.state in (JobState.ACCEPTED, JobState.RUNNING):
        return "the machines are starting"
    return attention(job)


@dataclass(frozen=True, slots=True)
class _Run:
    """The execution of a run after its confirmation."""

    fleet: Reconciler
    farm: FleetClient
    policy: RentalPolicy
    interrupts: SignalFlags
    tick_seconds: float
    as_json: bool

    def run(self, catalog: Path, options: SubmitOptions) -> ExitCode:
        began = time.monotonic()
        answer = submit_file(self.farm, catalog, options)
        if not self.as_json:
            print_submission(answer)
        if answer.job.state.ended:  # all tracks exist already
            return self._report(answer.job, self.policy, time.monotonic() - began, 0)
        policy = replace(self.policy, purpose=answer.job.id)
        rounds = BackgroundRounds(
            self.fleet, self.farm, policy, lambda: self.interrupts.requested, self.tick_seconds
        )
        try:
            with rounds:
                job = show_until_end(
                    self.farm, answer.job.id, as_json=self.as_json, wait=rounds, note=_note
                )
        finally:
            still_open = self._return_machines(policy)
        if rounds.failure is not None:
            complain(clean(str(rounds.failure)))
        return self._report(job or answer.job, policy, time.monotonic() - began, still_open)

    def _return_machines(self, policy: RentalPolicy) -> int | None:
        was_interrupted = self.interrupts.requested
        if not self.as_json:
            again = "again " if was_interrupted else ""
            say(f"returning the machines; press Ctrl-C {again}to leave them running")
        still_open = return_machines(
            self.fleet,
            policy,
            lambda: self.interrupts.forced if was_interrupted else self.interrupts.requested,
            reason="the run is over",
            tick_seconds=self.tick_seconds,
        )
        release_lease(self.fleet)
        return still_open

    def _report(
        self, job: JobInfo, policy: RentalPolicy, seconds: float, still_open: int | None
    ) -> ExitCode:
        if still_open != 0:  # before all else, because the scheduler may be unreachable
            complain(f"{still_open or 'some'} machines may still run: use `trackfarm fleet down`")
        now = time.time()
        recent = self.farm.usage(ended_since=now - RUN_WINDOW_S)
        usages = [usage for usage in recent if policy.includes(usage.rental)]
        breakdown, costs = total_breakdown(usages, now), costs_by_job(usages, now)
        job = self.farm.job(job.id)
        if self.as_json:
            outcome = {"job": job.model_dump(mode="json"), "seconds": seconds, "left": still_open}
            print_json(outcome | tables.cost_document(breakdown, costs))
        else:
            self._show_progress(job, seconds)
            out().print(tables.cost_table(breakdown))
            if breakdown.per_track is not None:
                tracks = counted(breakdown.tracks, "track")
                say(f"${breakdown.per_track:.5f} per track for {tracks}")
        if not job.state.ended:
            return ExitCode.INTERRUPTED
        return ExitCode.INCOMPLETE if still_open != 0 else exit_code_of(job)

    def _show_progress(self, job: JobInfo, seconds: float) -> None:
        progress = f"{job.tracks.done:,} of {counted(job.tracks.total, 'track')}"
        say(f"{job.id} is {state_words(job)}: {progress} in {time_words(seconds)}")
        if not job.state.ended:
            err().print(f"the job waits for workers; `trackfarm cancel {job.id}` cancels it")
