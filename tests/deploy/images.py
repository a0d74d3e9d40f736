"""The images, built and started by buildah, which needs neither an engine nor a registry.

Needs root. The base is Debian 12 from debootstrap instead of the images named in the Dockerfiles;
TRACKFARM_TEST_BASE may name a folder with such a system.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.deploy.tools import DOCKER, ROOT, cpu_torch, program
from tests.servers.process import Process, run

BASE = "localhost/trackfarm-base:check"
PACKAGES = "python3,python3-venv,ca-certificates"
AUTHORITIES = Path(
    "/usr/local/share/ca-certificates"
)  # of a network that intercepts TLS connections


class Builder:
    """Images and containers, all below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places = [f"--root={folder}/root", f"--runroot={folder}/run"]
        self._buildah = program("buildah")

    def import_base(self) -> None:
        system = self._system()
        archive = self._folder / "base.tar"
        parts = ["--exclude=./proc/*", "--exclude=./sys/*", "--create", "--file"]
        run(["tar", "--directory", system, *parts, archive, "."])
        run([program("podman"), *self._places, "import", archive, BASE])
        archive.unlink()

    def build(self, name: str, **arguments: str) -> str:
        """Build an image; return its name. Wheels in a folder of this machine are mounted for the
        build."""
        build_args = {"BASE": BASE, **arguments}
        options = [word for item in build_args.items() for word in ("--build-arg", "=".join(item))]
        wheels = cpu_torch()
        if wheels.startswith("/"):
            options.append(f"--volume={wheels}:{wheels}:ro")
        image = f"localhost/trackfarm-{name}:check"
        options += ["--isolation=chroot", "--pull-never", "--format=docker", f"--tag={image}"]
        self._run("bud", *options, f"--file={DOCKER / f'{name}.Dockerfile'}", str(ROOT))
        return image

    @contextmanager
    def started(
        self, image: str, command: list[str], log: Path, env: Mapping[str, str]
    ) -> Iterator[tuple[Process, str]]:
        """Start a process in a container; return it and the container's name, for commands by
        `ask`."""
        name = self._run("from", "--pull-never", image).strip()
        env_options = [f"--env={key}={value}" for key, value in env.items()]
        options = [*self._places, "run", "--isolation=chroot", *env_options, name, "--", *command]
        with Process([self._buildah, *options], log=log) as process:
            try:
                yield process, name
            finally:
                _end(process.pid)

    def ask(self, container: str, *command: str, **env: str) -> str:
        env_options = [f"--env={key}={value}" for key, value in env.items()]
        return self._run("run", "--isolation=chroot", *env_options, container, "--", *command)

    def configured(self, image: str, field: str) -> str:
        """Return a field of the image's configuration."""
        form = f"--format={{{{ .Docker.Config.{field} }}}}"
        return self._run("inspect", "--type=image", form, image).strip()

    def close(self) -> None:
        """Remove containers and unmount their files, so that the folder can be removed."""
        self._run("rm", "--all")
        for mounted in (self._folder / "root").glob("overlay"):
            subprocess.run(["umount", mounted], check=False, capture_output=True)

    def _system(self) -> Path:
        if base_folder := os.environ.get("TRACKFARM_TEST_BASE"):
            return Path(base_folder)
        system = self._folder / "system"
        run(
            [
                program("debootstrap"),
                "--variant=minbase",
                f"--include={PACKAGES}",
                "bookworm",
                system,
            ]
        )
        if AUTHORITIES.is_dir():
            shutil.copytree(AUTHORITIES, system / AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
            run(["chroot", system, "update-ca-certificates"])
            (system / "etc/pip.conf").write_text(
                "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n"
            )
        return system

    def _run(self, verb: str, *arguments: str) -> str:
        return run([self._buildah, *self._places, verb, *arguments])


def _end(root: int) -> None:
    """Signal the container's first process, as an engine does: buildah forwards no signals."""
    tree = psutil.Process(root).children(recursive=True)
    for each in tree:
        if each.name() == "tini":
            each.terminate()
    _, survivors = psutil.wait_procs(tree, timeout=20)
    assert not survivors, "the container has ended"
