"""Queries to Prometheus over its HTTP API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One series: its labels, times in Unix seconds, values."""

    labels: Mapping[str, str]
    times: Sequence[float]
    values: Sequence[float]


class History:
    """Answers queries over one time span. Raises httpx.HTTPError, also for an invalid query."""

    def __init__(self, url: str, *, start: float = 0, end: float = 0, step: float = 1) -> None:
        self.start, self.end, self.step = start, end, step
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def lines(self, expr: str) -> list[HistoryLine]:
        """Return the series over the whole span."""
        span = {"start": self.start, "end": self.end, "step": self.step}
        result = self._ask("query_range", {"query": expr, **span})
        return [
            HistoryLine(
                one["metric"], [t for t, _ in one["values"]], [float(v) for _, v in one["values"]]
            )
            for one in result
        ]

    def now(self, expr: str) -> list[float]:
        """Return the current value of each series."""
        return [float(one["value"][1]) for one in self._ask("query", {"query": expr})]

    def alerts(self) -> dict[str, str]:
        """Return the state of each alert that is pending or firing now."""
        alerts = self._get("alerts", {})["alerts"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in alerts}

    def _ask(self, path: str, params: Mapping[str, Any]) -> list[Any]:
        result: list[Any] = self._get(path, params)["result"]
        return result

    def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        return self._http.get(path, params=dict(params)).raise_for_status().json()["data"]
