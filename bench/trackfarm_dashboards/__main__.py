"""`python -m trackfarm_dashboards [FOLDER]`: write the JSON files that provision Grafana."""

import json
import sys
from pathlib import Path

from trackfarm_dashboards.collection import DASHBOARDS
from trackfarm_dashboards.grafana import json_of

FOLDER = Path(__file__).parents[2] / "monitoring" / "grafana" / "dashboards"


def written(folder: Path) -> list[Path]:
    """Write one file per dashboard; return the paths."""
    paths = []
    for dashboard in DASHBOARDS:
        path = folder / f"{dashboard.uid.removeprefix('trackfarm-')}.json"
        path.write_text(json.dumps(json_of(dashboard), indent=2) + "\n")
        paths.append(path)
    return paths


if __name__ == "__main__":
    for path in written(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(path)
