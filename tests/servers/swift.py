"""OpenStack Swift with its S3 interface, from a virtual environment that holds only it."""

import getpass
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.servers.process import Process, accepts, free_port, run, scratch_folder
from tests.servers.s3 import S3Access

_KINDS = ("account", "container", "object")
_REPOSITORY = Path(__file__).parents[2]

_BACKEND = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
workers = 0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
allow_versions = true
"""

_PROXY = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
[pipeline:main]
pipeline =
  catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl
  s3api tempauth copy slo dlo symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_farm_farm = FARMSECRET .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:cache]
use = egg:swift#memcache
memcache_servers =
"""

# 2^6 partitions, one copy. In one process: each `swift-ring-builder` takes 0.3 s to start.
_BUILD_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *rings = sys.argv[1:]
for ring in rings:
    kind, _, port = ring.partition(":")
    builder = RingBuilder(6, 1, 0)
    device = {"id": 0, "device": "d1", "weight": 1.0, "region": 1, "zone": 1}
    builder.add_dev(device | {"ip": "127.0.0.1", "port": int(port)})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{kind}.ring.gz")
"""

_FILTERS = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "tempurl",
    "copy",
    "slo",
    "dlo",
    "symlink",
)


def swift_binaries() -> Path | None:
    """Return the `bin` folder of TRACKFARM_TEST_SWIFT, or of `.venv-swift` in the repository."""
    environment = Path(os.environ.get("TRACKFARM_TEST_SWIFT", _REPOSITORY / ".venv-swift"))
    binaries = environment / "bin"
    return binaries if (binaries / "swift-proxy-server").exists() else None


@contextmanager
def swift_server(binaries: Path) -> Iterator[S3Access]:
    """Run a store on one disk without copies until exit."""
    with scratch_folder("swift") as folder, ExitStack() as running:
        ports = {kind: free_port() for kind in (*_KINDS, "proxy")}
        _configure(folder, ports)
        rings = [f"{kind}:{ports[kind]}" for kind in _KINDS]
        run([binaries / "python", "-c", _BUILD_RINGS, folder, *rings])
        servers = [running.enter_context(_start(binaries, folder, kind)) for kind in ports]
        for server, port in zip(servers, ports.values(), strict=True):
            server.wait_ready(partial(accepts, port))
        yield S3Access(f"http://127.0.0.1:{ports['proxy']}", "farm:farm", "FARMSECRET", "us-east-1")


def _configure(folder: Path, ports: dict[str, int]) -> None:
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = trackfarm\n")
    for kind, port in ports.items():
        template = _PROXY if kind == "proxy" else _BACKEND
        text = template.format(kind=kind, port=port, folder=folder, user=getpass.getuser())
        if kind == "proxy":
            text += "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _FILTERS)
        (folder / f"{kind}.conf").write_text(text)


def _start(binaries: Path, folder: Path, kind: str) -> Process:
    command = [binaries / f"swift-{kind}-server", folder / f"{kind}.conf"]
    return Process(command, log=folder / f"{kind}.log")
