"""Ceph's RADOS Gateway, the most complete S3 store in Debian's packages, in memory."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers.process import Process, accepts, free_port, run, scratch_folder
from tests.servers.s3 import S3Access

MONITOR_PORTS = (3300, 6789)  # others are not supported
_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool")

_CONF = """
[global]
fsid = {fsid}
mon host = 127.0.0.1
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon data avail warn = 1
mon data avail crit = 1
run dir = {folder}/run
admin socket = {folder}/run/$cluster-$name.asok
log file = {folder}/log/$name.log
pid file = {folder}/run/$name.pid
keyring = {folder}/keyring
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
[client.rgw]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


def rgw_programs() -> Path | None:
    """Return the gateway's program if all programs of Ceph that it needs are installed."""
    paths = [shutil.which(program) for program in _PROGRAMS]
    return Path(str(paths[_PROGRAMS.index("radosgw")])) if all(paths) else None


@contextmanager
def rgw_server() -> Iterator[S3Access]:
    """Run a gateway over one monitor and one memory store until exit.

    Skips the test if another monitor has the fixed ports.
    """
    if any(map(accepts, MONITOR_PORTS)):
        pytest.skip(f"another Ceph monitor uses the ports {MONITOR_PORTS}")
    with scratch_folder("rgw") as folder, ExitStack() as running:
        ceph = _Ceph(folder, running)
        ceph.start_monitor()
        ceph.start_store()
        yield ceph.start_gateway()


class _Ceph:
    """The steps of `rgw_server`, in order."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._fsid = str(uuid.uuid4())
        self._port = free_port()
        for name in ("run", "log", "mon", "osd", "rgw"):
            (folder / name).mkdir()
        conf = folder / "ceph.conf"
        conf.write_text(_CONF.format(fsid=self._fsid, folder=folder, port=self._port))
        self._env = {"CEPH_CONF": str(conf)}

    def start_monitor(self) -> None:
        keyring, monmap = self._folder / "keyring", self._folder / "monmap"
        caps = ["--cap", "mon", "allow *"]
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", *caps)
        caps += [word for part in ("osd", "mgr") for word in ("--cap", part, "allow *")]
        for name in ("client.admin", "osd.0", "client.rgw"):
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *caps)
        address = "[v2:127.0.0.1:{},v1:127.0.0.1:{}]".format(*MONITOR_PORTS)
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
        monitor = self._start("ceph-mon", "-i", "a", "-f")
        monitor.wait_ready(lambda: all(map(accepts, MONITOR_PORTS)))
        self._run("ceph", "--connect-timeout", "30", "health")

    def start_store(self) -> None:
        # The store must carry the very UUID that the monitor was told.
        store = str(uuid.uuid4())
        self._run("ceph", "osd", "new", store)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=h", "root=default")
        osd = self._start("ceph-osd", "-i", "0", "-f")
        osd.wait_ready(lambda: "1 up" in self._run("ceph", "osd", "stat"))

    def start_gateway(self) -> S3Access:
        gateway = self._start("radosgw", "-n", "client.rgw", "-f")
        gateway.wait_ready(lambda: accepts(self._port), timeout_s=60)
        access = S3Access(f"http://127.0.0.1:{self._port}", "FARMKEY", "FARMSECRET", "default")
        create = ["radosgw-admin", "-n", "client.rgw", "user", "create", "--uid", "farm"]
        keys = ["--access-key", access.access_key, "--secret-key", access.secret_key]
        self._run(*create, "--display-name", "farm", *keys)
        return access

    def _run(self, *args: str | Path) -> str:
        return run(args, env=self._env)

    def _start(self, *args: str | Path) -> Process:
        log = self._folder / f"{args[0]}.log"
        return self._running.enter_context(Process(args, log=log, env=self._env))
