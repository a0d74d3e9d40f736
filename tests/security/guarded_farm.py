"""A scheduler and a broker as deployed on the internet: TLS, broker users, invitations."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from tests.end_to_end.database_view import DatabaseView
from tests.servers.presence import require
from tests.servers.process import Process, free_port
from tests.servers.redis import RedisServer, any_redis, redis_server
from tests.servers.tls import HOST, Certificates, certificates
from trackfarm.client import Client
from trackfarm.net.safe_urls import with_ca_file
from trackfarm.net.tls import tls_verify
from trackfarm.protocol.operator import InvitationRequest
from trackfarm.protocol.worker import RegisterAnswer

API_KEY, BROKER_PASSWORD = "an-api-key-of-the-tests", "the-brokers-own-password"
FACTS = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}


class GuardedFarm:
    """A farm without a join token: workers register with invitations only."""

    def __init__(
        self, folder: Path, files: Certificates, broker: RedisServer, **changes: object
    ) -> None:
        self.files, self.broker = files, broker
        self.log = folder / "scheduler.log"
        self.url = f"https://{HOST}:{(port := free_port())}"
        self.client = Client(self.url, API_KEY, ca_file=files.authority)
        self._http = httpx.Client(base_url=self.url, verify=self._ssl_context())
        settings = {
            "HOST": "127.0.0.1",
            "PORT": port,
            "PUBLIC_URL": self.url,
            "TLS_CERTIFICATE": files.certificate,
            "TLS_KEY": files.key,
            "DATABASE_URL": (database_url := f"sqlite:///{folder / 'farm.db'}"),
            "BROKER_URL": broker.url,
            "OBJECTS_URL": (folder / "objects").as_uri(),
            "API_KEY": API_KEY,
            "SIGNING_SECRET": "a-signing-secret-of-the-tests",
            **changes,
        }
        self.database = DatabaseView(database_url)
        env = {f"TRACKFARM_SCHEDULER_{name}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-P", "-m", "trackfarm_scheduler"]
        self.process = Process(command, log=self.log, env={**os.environ, **env})

    def _ssl_context(self) -> Any:
        return tls_verify(self.files.authority, setting="")

    def invite(self, **wishes: Any) -> str:
        return self.client.invite(InvitationRequest(**wishes)).token

    def say(self, path: str, token: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return self.ask("POST", f"/worker/v1/{path}", token, json=body or {})

    def ask(self, method: str, path: str, token: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
        return self._http.request(method, path, headers=headers, **request)

    def joined(self, token: str = "", **changes: Any) -> RegisterAnswer:
        answer = self.say("register", token or self.invite(), FACTS | changes)
        assert answer.status_code == 200, answer.text
        return RegisterAnswer.model_validate_json(answer.content)

    def worker_connection(self, worker: RegisterAnswer) -> Redis:
        """Connect to the broker with the credentials of the worker."""
        url = with_ca_file(worker.broker_url, self.files.authority)
        return Redis.from_url(url, socket_timeout=5)

    def owner_connection(self) -> Redis:
        return Redis.from_url(self.broker.url, decode_responses=True)

    def close(self) -> None:
        self._http.close()
        self.client.close()
        self.database.close()
        self.process.stop()


@contextmanager
def guarded_farm(
    folder: Path, files: Certificates | None = None, **changes: object
) -> Iterator[GuardedFarm]:
    """Run a farm with the settings `changes` until exit."""
    files = files or certificates(folder / "certificates")
    (folder / "objects").mkdir()
    binary = require(any_redis(), "a Redis server")
    with redis_server(binary, password=BROKER_PASSWORD, files=files) as broker:
        farm = GuardedFarm(folder, files, broker, **changes)
        try:
            farm.process.wait_ready(farm.client.is_healthy)
            yield farm
        finally:
            farm.close()
