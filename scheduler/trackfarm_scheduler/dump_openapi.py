"""`python -m trackfarm_scheduler.dump_openapi FILE`: write this version's OpenAPI description."""

import json
import sys
import tempfile
from pathlib import Path

from trackfarm_scheduler.app import assemble
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.web import build_app


def description() -> str:
    """Return the description as JSON text, from a scheduler that is built but not served."""
    with tempfile.TemporaryDirectory(prefix="trackfarm-openapi-") as folder:
        settings = SchedulerSettings.model_validate(
            {
                "database_url": f"sqlite:///{folder}/farm.db",
                "objects_url": Path(folder, "objects").as_uri(),
                "broker_url": "redis://127.0.0.1:1/0",
                "api_key": "x" * 16,
                "signing_secret": "x" * 16,
                "insecure": True,
            }
        )
        services, _loops = assemble(settings)
        try:
            openapi = build_app(services).openapi()
        finally:
            services.broker.close()
            services.database.close()
    return json.dumps(openapi, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(description(), encoding="utf-8")
