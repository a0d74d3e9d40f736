"""`trackfarm run`: make a catalog file's tracks on machines that are rented for it alone."""

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.api import JobState
from trackfarm.cli.catalogs import refuse_mistakes, report_submission, send
from trackfarm.cli.console import complain, err, out, print_json, say
from trackfarm.cli.exits import ExitCode, code_of
from trackfarm.cli.jobs import watched
from trackfarm.cli.options import CatalogArgument, JsonOption
from trackfarm.cli.plan import demanded, limits_of
from trackfarm.embedded.interrupts import Interrupts
from trackfarm.planning.records import Limits, ShapeCount
from trackfarm.printable import clean
from trackfarm.rentals import Demand, JobLimits
from trackfarm.sdk.submission import Wishes
from trackfarm.words import attention, counted, state_words, time_words
from trackfarm_fleet.books import by_job, together
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.asking import agreed, refuse_nothing, refuse_unready
from trackfarm_fleet.cli.options import (
    GpuOption,
    InterruptibleOption,
    MaxPriceOption,
    ProviderOption,
    opened,
    settings_of,
)
from trackfarm_fleet.cli.pacing import Pacing
from trackfarm_fleet.decision import Decision
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.fleet import Fleet
from trackfarm_fleet.mandate import DAY, Mandate
from trackfarm_fleet.settings import FleetSettings
from trackfarm_fleet.steering import give_back, resign

if TYPE_CHECKING:
    from trackfarm.api import Job

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
    limits = limits_of(deadline, budget)
    refuse_mistakes(catalog)
    kind, shapes = demanded(catalog, model_set)
    settings = settings_of(
        provider=provider,
        gpu=gpu,
        interruptible=interruptible,
        max_price=max_price,
        model_set=kind.name,
        **_machines(provider, machines),
    )
    wishes = Wishes(
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
        with Interrupts() as interrupts:
            execution = _Run(fleet, farm, mandate, interrupts, settings.tick_seconds, as_json)
            raise typer.Exit(execution.run(catalog, wishes))


def _machines(provider: list[str] | None, machines: int | None) -> dict[str, int | float]:
    """Return the settings for the number of machines; local workers always use all their slots."""
    if provider == ["local"]:
        from trackfarm_fleet.localhost import slots

        number = len(slots(machines or 0))
        local = {"local_workers": machines or 0, "tick_seconds": LOCAL_TICK_S}
        return {"min_machines": number, "max_machines": number, **local}
    return {} if machines is None else {"min_machines": machines, "max_machines": machines}


def _mandate(settings: FleetSettings, limits: Limits) -> Mandate:
    budget = settings.daily_budget if limits.budget is None else limits.budget
    return replace(settings.mandate(), purpose=UNSENT, only=True, budget=budget, window=RUN)


def _moment(limits: Limits) -> datetime | None:
    if limits.deadline_seconds is None:
        return None
    return datetime.now().astimezone() + timedelta(seconds=limits.deadline_seconds)


def _demand(name: str, shapes: list[ShapeCount], limits: Limits) -> Demand:
    waiting: dict[int, int] = {}
    for shape in shapes:
        waiting[shape.min_vram] = waiting.get(shape.min_vram, 0) + shape.count
    job = JobLimits(
        tracks=sum(waiting.values()), deadline=limits.deadline_seconds, budget=limits.budget
    )
    return Demand(model_set=name, shapes=shapes, waiting=waiting, jobs=[job])


def _show(decision: Decision, limits: Limits, *, as_json: bool) -> None:
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


def _note(job: "Job") -> str:
    """Return the warning about a job. Without workers, machines are already starting, so do not
    suggest to start others."""
    if job.eligible_workers == 0 and job.state in (JobState.ACCEPTED, JobState.RUNNING):
        return "the machines are starting"
    return attention(job)


@dataclass(frozen=True, slots=True)
class _Run:
    """The execution of a run after its confirmation."""

    fleet: Fleet
    farm: FleetFarm
    mandate: Mandate
    interrupts: Interrupts
    tick: float
    as_json: bool

    def run(self, catalog: Path, wishes: Wishes) -> ExitCode:
        began = time.monotonic()
        answer = send(self.farm, catalog, wishes)
        if not self.as_json:
            report_submission(answer)
        if answer.job.state.ended:  # all tracks exist already
            return self._report(answer.job, self.mandate, time.monotonic() - began, 0)
        mandate = replace(self.mandate, purpose=answer.job.id)
        pacing = Pacing(self.fleet, self.farm, mandate, lambda: self.interrupts.asked, self.tick)
        try:
            with pacing:
                job = watched(
                    self.farm, answer.job.id, as_json=self.as_json, stopped=pacing, note=_note
                )
        finally:
            still_open = self._return(mandate)
        if pacing.failure is not None:
            complain(clean(str(pacing.failure)))
        return self._report(job or answer.job, mandate, time.monotonic() - began, still_open)

    def _return(self, mandate: Mandate) -> int | None:
        before = self.interrupts.asked
        if not self.as_json:
            again = "again " if before else ""
            say(f"returning the machines; press Ctrl-C {again}to leave them running")
        still_open = give_back(
            self.fleet,
            mandate,
            lambda: self.interrupts.hurried if before else self.interrupts.asked,
            why="the run is over",
            tick=self.tick,
        )
        resign(self.fleet)
        return still_open

    def _report(self, job: "Job", mandate: Mandate, seconds: float, left: int | None) -> ExitCode:
        if left != 0:  # before all else, because the scheduler may be unreachable
            complain(f"{left or 'some'} machines may still run: use `trackfarm fleet down`")
        now = time.time()
        stays = [s for s in self.farm.stays(ended_since=now - RUN) if mandate.covers(s.rental)]
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
        return ExitCode.INCOMPLETE if left != 0 else code_of(job)

    def _tell(self, job: "Job", seconds: float) -> None:
        progress = f"{job.tracks.done:,} of {counted(job.tracks.total, 'track')}"
        say(f"{job.id} is {state_words(job)}: {progress} in {time_words(seconds)}")
        if not job.state.ended:
            err().print(f"the job waits for workers; `trackfarm cancel {job.id}` cancels it")
