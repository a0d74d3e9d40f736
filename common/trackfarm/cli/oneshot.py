"""The run of `up --submit --export`: submit, watch and download while the farm is up."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import typer

from trackfarm.cli.catalogs import refuse_mistakes, report_submission, send
from trackfarm.cli.console import complain, err
from trackfarm.cli.exits import ExitCode, code_of
from trackfarm.cli.exports import exported, print_report
from trackfarm.cli.jobs import WATCH_TIMEOUT, print_ending, watched
from trackfarm.cli.session import errors_end_the_command
from trackfarm.client import Client
from trackfarm.settings import FarmAddress

STOP_SECONDS = 3.0


@dataclass(slots=True)
class Errand:
    """A run in its own thread, because only the main thread may start child processes."""

    catalog: Path
    directory: Path
    model_set: str
    as_json: bool
    _code: ExitCode | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @classmethod
    def checked(cls, catalog: Path, directory: Path, *, model_set: str, as_json: bool) -> Self:
        """Create a run; end the command when the catalog has mistakes, before anything starts."""
        refuse_mistakes(catalog)
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
        from trackfarm.sdk.exporter import Stopped

        try:
            with (
                errors_end_the_command(),
                Client(address.url, address.api_key) as farm,
                Client(address.url, address.api_key, patience=0, timeout=WATCH_TIMEOUT) as watcher,
            ):
                self._code = self._steps(farm, watcher)
        except typer.Exit as exit_request:
            self._code = ExitCode(exit_request.exit_code)
        except Stopped:
            self._code = ExitCode.INTERRUPTED
        except Exception as error:
            complain(f"{type(error).__name__}: {error}")
            raise

    def _steps(self, farm: Client, watcher: Client) -> ExitCode:
        from trackfarm.sdk.submission import Wishes

        answer = send(farm, self.catalog, Wishes(model_set=self.model_set))
        if not self.as_json:
            report_submission(answer)
        job = watched(watcher, answer.job.id, as_json=self.as_json, stopped=self._stop.wait)
        if job is None or not job.state.ended:
            return ExitCode.INTERRUPTED
        report = exported(farm, job, self.directory, stopped=self._stop.is_set)
        print_report(job, report, as_json=self.as_json)
        if not self.as_json:
            print_ending(farm, job, str(self.directory))
        return ExitCode.INCOMPLETE if report.failed else code_of(job)
