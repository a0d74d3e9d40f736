"""Dashboards as Grafana's JSON (schema version 39, Grafana 11 and newer). Provisioned files must
reference their data source by a fixed uid: exports with `__inputs` do not resolve."""

from typing import Any

from trackfarm_dashboards.model import Dashboard, Kind, Panel, PanelPlace, Query, Variable, laid_out

SOURCE = {"type": "prometheus", "uid": "trackfarm-prometheus"}
ALL = "$__all"
GREEN, RED = "green", "red"


def json_of(dashboard: Dashboard) -> dict[str, Any]:
    panels = enumerate(laid_out(dashboard), start=1)
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["trackfarm"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "title": "trackfarm",
                "type": "dashboards",
                "tags": ["trackfarm"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": [_variable(variable) for variable in dashboard.variables]},
        "panels": [_panel(number, panel, place) for number, (panel, place) in panels],
    }


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"label_values({variable.metric}, {variable.label})"
    return {
        "name": variable.label,
        "label": variable.label.replace("_", " "),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "values"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": [ALL]},
    }


def _panel(number: int, panel: Panel, place: PanelPlace) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": {"x": place.x, "y": place.y, "w": place.width, "h": place.height},
        "targets": [_target(panel, query, n) for n, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(panel: Panel, query: Query, number: int) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": panel.kind is not Kind.SERIES,
        "range": panel.kind is Kind.SERIES,
        "format": "table" if panel.kind is Kind.TABLE else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit.value, "thresholds": _thresholds(panel)}
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.kind is Kind.SERIES:
        defaults["min"] = 0
        defaults["custom"] = {
            "fillOpacity": 25 if panel.stacked else 5,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    return defaults


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": GREEN, "value": 0.0}]
    if panel.alarm is not None:
        steps.append({"color": RED, "value": panel.alarm})
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case Kind.STAT:
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "value" if panel.alarm is not None else "none",
                "graphMode": "none",
            }
        case Kind.TABLE:
            return {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]}
        case Kind.SERIES:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
