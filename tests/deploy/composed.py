"""deploy/compose.yaml as the compose tool reads it, and its services as processes on this
machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.tools import COMPOSE_FILE, DEPLOY, compose
from tests.servers.presence import require
from tests.servers.process import run

CONTAINER_FOLDER = "/run/"  # every file mounted into a service is below


def set_up(folder: Path, host: str = "localhost") -> Path:
    """Prepare a farm with `deploy/setup`; return its settings."""
    require(shutil.which("openssl"), "openssl")
    settings = folder / "settings"
    env = {"FARM_SETTINGS": str(settings), "TRACKFARM": f"{sys.executable} -m trackfarm.cli"}
    run([DEPLOY / "setup", host, folder / "farm"], env=env)
    return settings


def read(settings: Path) -> dict[str, str]:
    """Read the settings as compose and a shell do."""
    lines = (line.partition("=") for line in settings.read_text().splitlines())
    return {name: value for name, sign, value in lines if sign and not name.startswith("#")}


def compose_output(settings: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """Return the compose tool's view of the file with these settings, some of them changed."""
    command = [str(compose()), "--env-file", str(settings), "--file", str(COMPOSE_FILE)]
    command += ["--profile", "*", "config", "--format", "json"]
    bare = {"PATH": os.environ["PATH"], "HOME": str(settings.parent)}
    return subprocess.run(command, env=bare | changed, capture_output=True, text=True, check=False)


def composed(settings: Path, **changed: str) -> dict[str, Any]:
    result = compose_output(settings, **changed)
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


class ServiceFiles:
    """A service's command, environment and files, located in `folder` instead of in a container.
    `places` maps addresses of other services: `redis:6379` is `localhost:PORT`."""

    def __init__(
        self, farm: Mapping[str, Any], name: str, folder: Path, places: Mapping[str, str]
    ) -> None:
        self.folder = folder / name
        self._places = dict(places)
        self._service = farm["services"][name]
        for kind in ("secrets", "configs"):
            for mounted in self._service.get(kind, []):
                source = Path(farm[kind][mounted["source"]]["file"])
                self._place(mounted["target"], source, is_text=kind == "configs")
        for mounted in self._service.get("volumes", []):
            if mounted["target"].startswith(CONTAINER_FOLDER):
                self.path(mounted["target"]).symlink_to(mounted["source"])

    @property
    def command(self) -> list[str]:
        return [self._translated(word) for word in self._service["command"]]

    @property
    def environment(self) -> dict[str, str]:
        values = self._service.get("environment", {})
        return {name: self._translated(value) for name, value in values.items()}

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def path(self, target: str) -> Path:
        """Return the local path of a file in the container."""
        return self.folder / target.removeprefix("/")

    def _place(self, target: str, source: Path, *, is_text: bool) -> None:
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        path.write_bytes(self._translated(content.decode()).encode() if is_text else content)
        path.chmod(0o600)

    def _translated(self, text: str) -> str:
        text = text.replace(CONTAINER_FOLDER, f"{self.folder}{CONTAINER_FOLDER}")
        for place, here in self._places.items():
            text = text.replace(place, here)
        return text
