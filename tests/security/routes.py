"""All routes of a scheduler with their authentication, and keys to try on them."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.end_to_end.farm import API_KEY, LocalFarm
from tests.scheduler.api_fixture import build
from tests.scheduler.farm_fixture import FarmFixture
from trackfarm.client.admin import Administration
from trackfarm.protocol.accounts import KeyRequest, NewApiKey, Scope
from trackfarm_scheduler.api.route_auth import RouteAuth, route_auths
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.web import build_app


def all_routes(folder: Path) -> list[RouteAuth]:
    """Return the routes of a scheduler with a directory store, which has the most."""
    database = Database(f"sqlite:///{folder / 'routes.db'}")
    database.migrate()
    store = DirectoryStore(folder / "objects", base_url="http://x", secret=b"s" * 16)
    app = build_app(replace(build(FarmFixture(database), "http://x"), objects=store))
    routes = list(route_auths(app))
    database.close()
    return routes


def path_of_route(route: RouteAuth) -> str:
    """Return the path with its parameters filled in."""
    return re.sub(r"\{[^}]+\}", "some_thing0", route.path)


def made(farm: LocalFarm, name: str, *scopes: Scope, ends_in: timedelta | None = None) -> NewApiKey:
    """Create a key of the running farm."""
    wanted = KeyRequest(
        name=name,
        scopes=list(scopes),
        expires_at=datetime.now(UTC) + ends_in if ends_in else None,
        rate=1_000_000,
    )
    with Administration(farm.url, API_KEY) as farm_of_root:
        return farm_of_root.make_key(wanted)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
