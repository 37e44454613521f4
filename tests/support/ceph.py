"""A real Ceph object gateway for soak tests: ``with running_ceph(folder) as ceph``.

A monitor, an object store in memory and radosgw, of Debian's packages, on loopback and on free ports. Everything lies
in the folder, nothing needs root, and all three are killed at the end. The gateway answers by HTTP and by HTTPS.
"""

import contextlib
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.certificates import self_signed
from tests.support.ports import free_port

__all__ = ["Ceph", "running_ceph", "why_not"]

_PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_INSTALL = "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd"
_START_S = 120.0
_CONF = """
    [global]
    fsid = {fsid}
    mon_initial_members = a
    mon_host = v2:127.0.0.1:{mon_port}/0
    auth_cluster_required = none
    auth_service_required = none
    auth_client_required = none
    auth_allow_insecure_global_id_reclaim = true
    keyring = {folder}/keyring
    ms_bind_msgr1 = false
    ms_bind_ipv6 = false
    ms_mon_client_mode = crc
    public_addr = 127.0.0.1
    cluster_addr = 127.0.0.1
    mon_allow_pool_size_one = true
    mon_max_pg_per_osd = 1000
    mon_data = {folder}/mon
    osd_data = {folder}/osd
    osd_objectstore = memstore
    memstore_device_bytes = 2147483648
    osd_crush_chooseleaf_type = 0
    osd_pool_default_size = 1
    osd_pool_default_min_size = 1
    osd_pool_default_pg_num = 4
    osd_pool_default_pgp_num = 4
    run_dir = {folder}
    crash_dir = {folder}
    log_file = {folder}/$name.log
    admin_socket =
    [client.rgw]
    rgw_data = {folder}/rgw
    rgw_frontends = beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} ssl_certificate={pem}
    rgw_dynamic_resharding = false
    rgw_thread_pool_size = 32
"""


@dataclass(frozen=True)
class Ceph:
    """A running gateway, and a user of it. ``certificate``: whom to trust at the address with TLS."""

    endpoint_url: str
    tls_endpoint_url: str
    certificate: Path
    access_key_id: str = "ceph-key-id"
    secret_access_key: str = "ceph-secret"
    region: str = "default"


def why_not() -> str:
    """Why no Ceph can be started here, and what to do about it; empty where one can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(missing)} missing: {_INSTALL}" if missing else ""


@contextlib.contextmanager
def running_ceph(folder: Path) -> Iterator[Ceph]:
    """A fresh gateway whose files lie in ``folder``; where the programs are missing, the test is skipped visibly."""
    if reason := why_not():
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        cluster = _Cluster(folder, stack)
        cluster.start_monitor()
        cluster.start_store()
        cluster.start_gateway()
        yield cluster.ceph


class _Cluster:
    """The three servers. Each start returns when the server answers."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._fsid = str(uuid.uuid4())
        self._mon_port, port, tls_port = free_port(), free_port(), free_port()
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        (folder / "keyring").touch()
        certificate = folder / "certificate.pem"
        trusted, key = self_signed()
        certificate.write_bytes(trusted)
        pem = folder / "both.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(trusted + key)
        values = {"fsid": self._fsid, "mon_port": self._mon_port, "port": port, "tls_port": tls_port, "pem": pem}
        (folder / "ceph.conf").write_text(dedent(_CONF).format(folder=folder, **values), encoding="utf-8")
        self.ceph = Ceph(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", certificate)

    def start_monitor(self) -> None:
        monmap, address = self._folder / "monmap", f"[v2:127.0.0.1:{self._mon_port}]"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, str(monmap), conf=False)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(monmap))
        self._serve("ceph-mon", "-i", "a")

    def start_store(self) -> None:
        identity = str(uuid.uuid4())
        self._run("ceph", "osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._serve("ceph-osd", "-i", "0")

    def start_gateway(self) -> None:
        user = ["--uid=tester", "--display-name=Tester"]
        keys = [f"--access-key={self.ceph.access_key_id}", f"--secret-key={self.ceph.secret_access_key}"]
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *user, *keys)
        gateway = self._serve("radosgw", "-n", "client.rgw")
        trusted = ssl.create_default_context(cafile=str(self.ceph.certificate))
        deadline = time.monotonic() + _START_S
        while not _answers(self.ceph.endpoint_url) or not _answers(self.ceph.tls_endpoint_url, trusted):
            if gateway.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"radosgw did not start: {self._last_words('radosgw')}")
            time.sleep(0.1)

    def _run(self, program: str, *arguments: str, conf: bool = True) -> None:
        command = [program, *(self._conf() if conf else ()), *arguments]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_START_S, cwd=self._folder)
        except subprocess.SubprocessError as error:
            pytest.fail(f"{program}: {error}: {getattr(error, 'stderr', b'')!r}")

    def _serve(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        log = self._stack.enter_context((self._folder / f"{program}.out").open("wb"))
        command = [program, *self._conf(), *arguments, "-f"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def _conf(self) -> list[str]:
        return ["-c", str(self._folder / "ceph.conf")]

    def _last_words(self, program: str) -> str:
        return (self._folder / f"{program}.out").read_text(encoding="utf-8", errors="replace")[-2_000:]


def _answers(url: str, trusted: ssl.SSLContext | None = None) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2, context=trusted).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
