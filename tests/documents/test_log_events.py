"""docs/troubleshooting.md names every log event that an operator may have to act on."""

import ast
import re
from collections.abc import Iterator

from tests.documents.pages import DOCS, ROOT, rows

PACKAGES = (
    "scheduler/trackfarm_scheduler",
    "worker/trackfarm_worker",
    "deploy/trackfarm_fleet",
)
ALARMING = frozenset({"warning", "error", "exception", "critical"})


def test_troubleshooting_has_every_alarming_event_of_each_process() -> None:
    documented = {(process, event) for process, event in documented_events()}
    logged = {
        (process, event)
        for process, package in zip(("Scheduler", "Worker", "Fleet"), PACKAGES, strict=True)
        for level, event in logged_events(package)
        if level in ALARMING
    }
    assert len(logged) > 30
    assert documented == logged


def documented_events() -> Iterator[tuple[str, str]]:
    for above, cells in rows(DOCS / "troubleshooting.md"):
        if "Log events" in above and cells[0] != "event":
            yield from ((above[-1], event) for event in re.findall(r"`(\w+)`", cells[0]))


def logged_events(package: str) -> Iterator[tuple[str, str]]:
    """Yield level and name of each event that the package logs."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                    args=[ast.Constant(value=str(event)), *_],
                ):
                    yield level, event
