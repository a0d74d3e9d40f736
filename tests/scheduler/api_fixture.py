"""The scheduler's web application behind a real uvicorn, with the services of a farm fixture."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from anyio import CapacityLimiter
from fastapi import FastAPI

from tests.scheduler.farm_fixture import LEASE_SECONDS, FarmFixture
from tests.servers.asgi import listening_socket, serve_app
from trackfarm.catalog import Brief
from trackfarm.planning import load_prices
from trackfarm.protocol.accounts import NewApiKey
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.broker.users import BrokerUsers
from trackfarm_scheduler.loop import Loop
from trackfarm_scheduler.loops.lag_monitor import LagMonitor
from trackfarm_scheduler.services import Services
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_scheduler.web import build_app

API_KEY, JOIN_TOKEN = "operator-key-0123456789", "join-token-0123456789"
NOBODY = "redis://127.0.0.1:1/0"


class ApiFixture:
    """HTTP client of the farm, as an operator and as workers."""

    def __init__(self, url: str, farm: FarmFixture) -> None:
        self.farm = farm
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=60)

    def get(self, path: str, *, key: str = API_KEY, **params: Any) -> httpx.Response:
        return self.http.get(f"/api/v1/{path}", headers=bearer(key), params=params)

    def post(self, path: str, *, key: str = API_KEY) -> httpx.Response:
        return self.http.post(f"/api/v1/{path}", headers=bearer(key))

    def submit(
        self, wanted: Iterable[Brief], *, catalog: str = "spa", **header: Any
    ) -> httpx.Response:
        lines = (brief.model_dump_json(exclude_defaults=True) for brief in wanted)
        return self.send_lines(
            [json.dumps({"catalog": catalog, "model_set": "tiny"} | header), *lines]
        )

    def send_lines(self, lines: Iterable[str], *, key: str = API_KEY) -> httpx.Response:
        body = (line.encode() + b"\n" for line in lines)
        return self.http.post("/api/v1/jobs", content=body, headers=bearer(key))

    def post_as_worker(
        self, path: str, token: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        return self.http.post(f"/worker/v1/{path}", headers=bearer(token), json=body or {})

    def register(self, **changes: Any) -> httpx.Response:
        facts = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}
        return self.post_as_worker("register", JOIN_TOKEN, facts | changes)

    def register_worker(self, **changes: Any) -> dict[str, Any]:
        answer = self.register(**changes)
        assert answer.status_code == 200, answer.text
        joined: dict[str, Any] = answer.json()
        return joined


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def create_key(api: ApiFixture, name: str = "shop", *scopes: str, **facts: Any) -> NewApiKey:
    body = {"name": name, "scopes": scopes or ("submit",), **facts}
    answer = api.http.post("/api/v1/keys", headers=bearer(API_KEY), json=body)
    assert answer.status_code == 201, answer.text
    return NewApiKey.model_validate(answer.json())


def build(farm: FarmFixture, url: str) -> Services:
    settings = SchedulerSettings.model_validate(
        {
            "public_url": url,
            "broker_url": NOBODY,
            "objects_url": "memory",
            "api_key": API_KEY,
            "join_token": JOIN_TOKEN,
            "signing_secret": "s" * 32,
            "lost_after_seconds": LEASE_SECONDS,
        }
    )
    return Services(
        settings=settings,
        database=farm.database,
        objects=farm.objects,
        broker=Broker(NOBODY),
        users=BrokerUsers(NOBODY),
        recorder=farm.recorder,
        leadership=farm.leadership,
        placer_loop=Loop("placer", lambda: None, seconds=60),
        completer_loop=Loop("completer", lambda: None, seconds=60),
        prices=load_prices({}),
        lag_monitor=LagMonitor(threads := CapacityLimiter(4), farm.database.wait_to_write),
        worker_threads=threads,
        clock=farm.clock,
    )


class Switch:
    """ASGI application that forwards each request to the one of the running test."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Switch, str]]:
    """One uvicorn for all tests of a module: starting and stopping it takes almost a second."""
    switch = Switch()
    switch.app = FastAPI()
    with listening_socket() as (listener, url), serve_app(switch, listener):
        yield switch, url


@pytest.fixture
def api(sqlite_farm: FarmFixture, served: tuple[Switch, str]) -> Iterator[ApiFixture]:
    switch, url = served
    services = build(sqlite_farm, url)
    switch.app = build_app(services)
    client = ApiFixture(url, sqlite_farm)
    yield client
    client.http.close()
    services.broker.close()
    assert services.users is not None
    services.users.close()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that a response is a problem (RFC 9457) of this status; return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert body["status"] == status
    assert body["detail"]
    return body
