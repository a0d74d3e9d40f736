"""`trackfarm run`: make a catalog file's tracks on machines that are rented for it alone."""

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.console import ExitCode, complain, err, out, print_json, say
from trackfarm.cli.plan import parse_limits, read_demand
from trackfarm.cli.session import CatalogArgument, JsonOption
from trackfarm.cli.submit import print_submission, require_valid_catalog, submit_file
from trackfarm.cli.watch import exit_code_of, show_until_end
from trackfarm.embedded.signals import SignalFlags
from trackfarm.job_text import attention, state_words
from trackfarm.planning.models import PlanLimits, ShapeCount
from trackfarm.protocol.fleet import FleetDemand, JobLimits
from trackfarm.protocol.operator import JobState
from trackfarm.sdk.submission import SubmitOptions
from trackfarm.text import clean, counted, time_words
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.autoscaler.policy import DAY, RentalPolicy
from trackfarm_fleet.billing.job_costs import by_job, together
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.background_rounds import Pacing
from trackfarm_fleet.cli.options import (
    GpuOption,
    InterruptibleOption,
    MaxPriceOption,
    ProviderOption,
    agreed,
    opened,
    refuse_nothing,
    refuse_unready,
    settings_of,
)
from trackfarm_fleet.loop import give_back, release_lease
from trackfarm_fleet.reconciler import Reconciler
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings

if TYPE_CHECKING:
    from trackfarm.protocol.operator import JobInfo

LOCAL_TICK_S = 1.0
RUN = 30 * DAY  # the budget covers the whole run, however long it is
UNSENT = "unsent"  # purpose before the job exists: no other machine counts against its budget


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
    require_valid_catalog(catalog)
    kind, shapes = read_demand(catalog, model_set)
    settings = settings_of(
        provider=provider,
        gpu=gpu,
        interruptible=interruptible,
        max_price=max_price,
        model_set=kind.name,
        **_machines(provider, machines),
    )
    wishes = SubmitOptions(
        model_set=kind.name,
        deadline=_moment(limits),
        budget=limits.budget,
    )
    with opened(settings) as (fleet, farm):
        mandate = _mandate(settings, limits)
        refuse_unready(fleet, mandate)
        decision = fleet.propose(mandate, _demand(kind.name, shapes, limits))[kind.name]
        least = min(shape.min_vram for shape in shapes)
        refuse_nothing(fleet, settings, mandate, decision, vram=least)
        _show(decision, limits, as_json=as_json)
        agreed("Rent these machines and make the catalog?", yes=yes)
        with SignalFlags() as interrupts:
            execution = _Run(fleet, farm, mandate, interrupts, settings.tick_seconds, as_json)
            raise typer.Exit(execution.run(catalog, wishes))


def _machines(provider: list[str] | None, machines: int | None) -> dict[str, int | float]:
    """Return the settings for the number of machines; local workers always use all their slots."""
    if provider == ["local"]:
        from trackfarm_fleet.providers.local import slots

        number = len(slots(machines or 0))
        local = {"local_workers": machines or 0, "tick_seconds": LOCAL_TICK_S}
        return {"min_machines": number, "max_machines": number, **local}
    return {} if machines is None else {"min_machines": machines, "max_machines": machines}


def _mandate(settings: FleetSettings, limits: PlanLimits) -> RentalPolicy:
    budget = settings.daily_budget if limits.budget is None else limits.budget
    return replace(settings.mandate(), purpose=UNSENT, only=True, budget=budget, window=RUN)


def _moment(limits: PlanLimits) -> datetime | None:
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
    if limits.deadline_seconds is not None and decision.finish > limits.deadline_seconds:
        late = time_words(limits.deadline_seconds)
        complain(
            f"the deadline in {late} will be missed: no further machine is available within the"
            " budget"
        )


def _note(job: "JobInfo") -> str:
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
    mandate: RentalPolicy
    interrupts: SignalFlags
    tick: float
    as_json: bool

    def run(self, catalog: Path, wishes: SubmitOptions) -> ExitCode:
        began = time.monotonic()
        answer = submit_file(self.farm, catalog, wishes)
        if not self.as_json:
            print_submission(answer)
        if answer.job.state.ended:  # all tracks exist already
            return self._report(answer.job, self.mandate, time.monotonic() - began, 0)
        mandate = replace(self.mandate, purpose=answer.job.id)
        pacing = Pacing(
            self.fleet, self.farm, mandate, lambda: self.interrupts.requested, self.tick
        )
        try:
            with pacing:
                job = show_until_end(
                    self.farm, answer.job.id, as_json=self.as_json, wait=pacing, note=_note
                )
        finally:
            still_open = self._return(mandate)
        if pacing.failure is not None:
            complain(clean(str(pacing.failure)))
        return self._report(job or answer.job, mandate, time.monotonic() - began, still_open)

    def _return(self, mandate: RentalPolicy) -> int | None:
        before = self.interrupts.requested
        if not self.as_json:
            again = "again " if before else ""
            say(f"returning the machines; press Ctrl-C {again}to leave them running")
        still_open = give_back(
            self.fleet,
            mandate,
            lambda: self.interrupts.forced if before else self.interrupts.requested,
            why="the run is over",
            tick=self.tick,
        )
        release_lease(self.fleet)
        return still_open

    def _report(
        self, job: "JobInfo", mandate: RentalPolicy, seconds: float, left: int | None
    ) -> ExitCode:
        if left != 0:  # before all else, because the scheduler may be unreachable
            complain(f"{left or 'some'} machines may still run: use `trackfarm fleet down`")
        now = time.time()
        stays = [s for s in self.farm.usage(ended_since=now - RUN) if mandate.covers(s.rental)]
        account, costs = together(stays, now), by_job(stays, now)
        job = self.farm.job(job.id)
        if self.as_json:
            document = tables.account_document(account, costs)
            print_json(
                {"job": job.model_dump(mode="json"), "seconds": seconds, "left": left} | document
            )
        else:
            self._tell(job, seconds)
            out().print(tables.account_table(account))
            if account.per_track is not None:
                say(f"${account.per_track:.5f} per track for {counted(account.tracks, 'track')}")
        if not job.state.ended:
            return ExitCode.INTERRUPTED
        return ExitCode.INCOMPLETE if left != 0 else exit_code_of(job)

    def _tell(self, job: "JobInfo", seconds: float) -> None:
        progress = f"{job.tracks.done:,} of {counted(job.tracks.total, 'track')}"
        say(f"{job.id} is {state_words(job)}: {progress} in {time_words(seconds)}")
        if not job.state.ended:
            err().print(f"the job waits for workers; `trackfarm cancel {job.id}` cancels it")
