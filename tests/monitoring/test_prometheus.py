"""Prometheus's own tool accepts configuration and rules; every alert is tested and documented."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.files import PROMETHEUS, RULES, TROUBLESHOOTING, alerts, program, records
from tests.servers.process import run
from trackfarm_scheduler.metrics import totals

RULES_TEST = PROMETHEUS / "tests" / "rules_test.yml"


def test_prometheus_configuration_is_valid(tmp_path: Path) -> None:
    copy = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (copy / "metrics-key").write_text("a key")
    output = run([program("promtool"), "check", "config", copy / "prometheus.yml"])
    assert f"{len(RULES)} rule files found" in output


def test_prometheus_rules_pass_their_tests() -> None:
    assert "SUCCESS" in run([program("promtool"), "test", "rules", RULES_TEST])


def test_promtool_rejects_a_wrong_rule_test(tmp_path: Path) -> None:
    """Verify that the two tests above can fail."""
    copy = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    rules = copy / "rules" / "alerts.yml"
    rules.write_text(rules.read_text().replace("== 0", "== 2"))
    command = [program("promtool"), "test", "rules", str(copy / "tests" / RULES_TEST.name)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("alert", list(alerts()), ids=lambda alert: str(alert["alert"]))
def test_alerts_are_documented_tested_and_short(alert: dict[str, object]) -> None:
    name, notes = alert["alert"], alert["annotations"]
    assert isinstance(name, str)
    assert isinstance(notes, dict)
    assert notes["runbook"] == f"docs/troubleshooting.md#{name.lower()}"
    entry = re.search(rf"(?ms)^### {name}\n\n(.+?)(?=\n#|\Z)", TROUBLESHOOTING.read_text())
    assert entry, f"{name} has no entry in {TROUBLESHOOTING.name}"
    assert len(entry.group(1)) > 80
    checks = [
        check
        for test in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for check in test.get("alert_rule_test", [])
        if check["alertname"] == name
    ]
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}, "fires and is silent"


def test_prometheus_rules_use_existing_metrics() -> None:
    metric_names = exported() | set(records())
    assert RULES
    for path in RULES:
        used = re.findall(r"[a-z_:]*trackfarm_[\w:]+", path.read_text())
        assert used, f"{path.name} names no metric"
        assert set(used) <= metric_names, path.name


def exported() -> set[str]:
    """Return every metric name that the exporter's source can produce."""
    folder = Path(totals.__file__).parent
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.py")))
    names = set(re.findall(r"trackfarm_[a-z0-9_]+", text))
    names |= {f"trackfarm_{shown.name}_total" for shown in totals.COUNTERS.values()}
    for shown in totals.HISTOGRAMS.values():
        names |= {f"trackfarm_{shown.name}_{end}" for end in ("bucket", "sum", "count")}
    workers = ["info", *re.findall(r'_named\(\s*"(\w+)"', text)]
    parts = ("broker", "database")
    names |= {f"trackfarm_{part}_{end}" for part in parts for end in ("up", "latency_seconds")}
    return names | {f"trackfarm_worker_{name}" for name in workers}
