"""The programs that check, build and run the deployment, and the deployment's folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.presence import require
from tests.servers.process import run

ROOT = Path(__file__).parents[2]
DEPLOY, DOCKER = ROOT / "deploy", ROOT / "docker"
COMPOSE_FILE = DEPLOY / "compose.yaml"
_PLUGINS = ("/usr/local/libexec", "/usr/libexec", "/usr/local/lib", "/usr/lib")


def compose() -> Path:
    """Return Docker's compose tool of version 2, which needs no engine to check a file: the one of
    TRACKFARM_TEST_COMPOSE, or the installed plugin."""
    configured = os.environ.get("TRACKFARM_TEST_COMPOSE")
    places = [Path(folder) / "docker/cli-plugins/docker-compose" for folder in _PLUGINS]
    candidates = [Path(configured)] if configured else [place for place in places if place.exists()]
    return require(next(iter(candidates), None), "docker compose 2")


def program(name: str) -> str:
    """Return a program from our environment or else from the machine."""
    own = Path(sys.executable).parent / name
    return require(str(own) if own.exists() else shutil.which(name), name)


def scripts() -> list[Path]:
    """Return everything in these folders that a shell runs."""
    files = (path for folder in (DEPLOY, DOCKER) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in files
        if path.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
    )


def bundle(folder: Path) -> tuple[Path, str]:
    """Build the bundle that machines with a stock image install; return it with the script's
    output."""
    archive = folder / "bundle.tar.gz"
    return archive, run([DEPLOY / "provision" / "bundle", archive], env={"PYTHON": sys.executable})


def cpu_torch() -> str:
    """Return the location of torch without CUDA: the folder where pip looks for wheels here, or its
    own page."""
    result = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "https://download.pytorch.org/whl/cpu/torch/"
