"""The catalog of `up --submit --export`: submitted, watched, downloaded, and how to play it."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import typer

from trackfarm.cli.check import require_valid_catalog
from trackfarm.cli.console import ExitCode, complain, err, say
from trackfarm.cli.export import export_files, print_report
from trackfarm.cli.session import exit_on_farm_errors
from trackfarm.cli.submit import print_submission, submit_file
from trackfarm.cli.watch import WATCH_TIMEOUT, exit_code_of, print_ending, show_until_end
from trackfarm.client import Client
from trackfarm.listings import ordinal_width, track_file
from trackfarm.protocol.operator import TrackState
from trackfarm.settings import FarmAddress

if TYPE_CHECKING:
    from trackfarm.protocol.operator import JobInfo
    from trackfarm.sdk.download import ExportReport

STOP_SECONDS = 3.0


@dataclass(slots=True)
class CatalogRun:
    """Submit, watch and download of one catalog (`up --submit --export`).

    It has its own thread, because only the main thread may start child processes.
    """

    catalog: Path
    directory: Path
    model_set: str
    as_json: bool
    _code: ExitCode | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @classmethod
    def prepare(cls, catalog: Path, directory: Path, *, model_set: str, as_json: bool) -> Self:
        """Create a run; end the command when the catalog has mistakes, before anything starts."""
        require_valid_catalog(catalog, model_set, as_json=as_json)
        return cls(catalog, directory, model_set, as_json)

    def start(self, address: FarmAddress) -> None:
        self._thread = threading.Thread(target=self._run, args=(address,), daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def finish(self) -> ExitCode:
        """Stop the run if it has not ended; return its exit code, INTERRUPTED if it was stopped."""
        assert self._thread is not None, "call start() first"
        interrupted = not self.done
        self._stop.set()
        self._thread.join(STOP_SECONDS)
        if interrupted:
            err().print("interrupted; `trackfarm up` with the same home resumes the job")
            return ExitCode.INTERRUPTED
        return ExitCode.INCOMPLETE if self._code is None else self._code

    def _run(self, address: FarmAddress) -> None:
        from trackfarm.sdk.download import ExportStopped

        try:
            with (
                exit_on_farm_errors(),
                Client(address.url, address.api_key) as farm,
                Client(
                    address.url, address.api_key, retry_seconds=0, timeout=WATCH_TIMEOUT
                ) as watcher,
            ):
                self._code = self._steps(farm, watcher)
        except typer.Exit as exit_request:
            self._code = ExitCode(exit_request.exit_code)
        except ExportStopped:
            self._code = ExitCode.INTERRUPTED
        except Exception as error:
            complain(f"{type(error).__name__}: {error}")
            raise

    def _steps(self, farm: Client, watcher: Client) -> ExitCode:
        from trackfarm.sdk.submission import SubmitOptions

        answer = submit_file(farm, self.catalog, SubmitOptions(model_set=self.model_set))
        if not self.as_json:
            print_submission(answer)
        job = show_until_end(watcher, answer.job.id, as_json=self.as_json, wait=self._stop.wait)
        if job is None or not job.state.ended:
            return ExitCode.INTERRUPTED
        report = export_files(farm, job, self.directory, is_stopped=self._stop.is_set)
        print_report(job, report, as_json=self.as_json)
        if not self.as_json:
            self._close(farm, job, report)
        return ExitCode.INCOMPLETE if report.failed else exit_code_of(job)

    def _close(self, farm: Client, job: "JobInfo", report: "ExportReport") -> None:
        """Print the outcome, and commands that play the tracks."""
        from trackfarm.cli.play_commands import play_commands

        print_ending(farm, job, str(self.directory))
        width = ordinal_width(job.tracks.total)
        files = (track_file(track, width) for track in farm.tracks(job.id, state=TrackState.DONE))
        saved = (self.directory / file for file in files if file not in report.failed)
        for command in play_commands(Path(report.listen), next(saved, None)):
            say(f"play    {command}")
