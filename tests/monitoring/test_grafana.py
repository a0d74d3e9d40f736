"""Grafana accepts the dashboards, and Prometheus their queries; no Grafana server is started."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.monitoring.files import GRAFANA, program, records
from tests.monitoring.queries import chosen
from tests.monitoring.test_prometheus import exported
from tests.servers.process import run
from trackfarm_dashboards.__main__ import written
from trackfarm_dashboards.collection import DASHBOARDS
from trackfarm_dashboards.grafana import SOURCE
from trackfarm_dashboards.model import COLUMNS, SCREEN, Dashboard, laid_out

FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
SCHEMA = Path(__file__).parent / "dashboard.schema.json"
COUNTED_BY_PROMETHEUS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}


def expressions(dashboard: Dashboard) -> list[str]:
    return [query.expr for panel, _ in laid_out(dashboard) for query in panel.queries]


def mistakes(dashboard: dict[str, Any]) -> list[str]:
    schema = json.loads(SCHEMA.read_text())
    errors = jsonschema.Draft7Validator(schema).iter_errors(dashboard)
    return [error.message[:300] for error in errors]


def test_dashboard_files_are_up_to_date(tmp_path: Path) -> None:
    """`python -m trackfarm_dashboards` regenerates them."""
    assert {path.name: path.read_text() for path in written(tmp_path)} == {
        path.name: path.read_text() for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboard_json_has_only_keys_of_grafana(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    assert mistakes(dashboard) == []
    broken = dashboard | {"panels": [dashboard["panels"][0] | {"titel": "?"}]}
    assert mistakes(broken), "the schema detects a misspelt key"
    assert mistakes(dashboard | {"refresh": 15}), "and a wrong type"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_dashboard_fits_one_screen(dashboard: Dashboard) -> None:
    assert dashboard.height <= SCREEN
    for row in dashboard.rows:
        assert COLUMNS % len(row.panels) == 0 or row.height == 4, "panels are equally wide"
    titles = [panel.title for panel, _ in laid_out(dashboard)]
    assert len(titles) == len(set(titles))


def test_dashboard_uids_are_stable_and_the_source_is_provisioned() -> None:
    uids = [json.loads(path.read_text())["uid"] for path in FILES]
    assert sorted(uids) == [
        f"trackfarm-{name}" for name in ("fleet", "jobs", "scheduler", "workers")
    ]
    provisioned = GRAFANA / "provisioning" / "datasources" / "trackfarm.yml"
    (source,) = yaml.safe_load(provisioned.read_text())["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_dashboard_queries_are_valid(dashboard: Dashboard, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": chosen(expr)}
        for number, expr in enumerate(expressions(dashboard))
    ]
    wrapped = tmp_path / "panels.yml"
    wrapped.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run([program("promtool"), "check", "rules", wrapped])


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_dashboard_queries_use_existing_metrics(dashboard: Dashboard) -> None:
    names = {v.metric for v in dashboard.variables}
    for expr in expressions(dashboard):
        names |= set(re.findall(r"[a-z_:]*trackfarm_[\w:]+", expr))
    assert names <= exported() | set(records()) | COUNTED_BY_PROMETHEUS
