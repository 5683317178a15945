"""A real S3 store, Ceph's RADOS Gateway: started once for all tests that ask, in a folder of its own."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import boto3
from botocore.config import Config
from support import free_port, require, runs

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testsecret"}
BUCKET = "tests"

_CONF = """
[global]
fsid = {fsid}
mon_host = v1:127.0.0.1:{mon}
ms_bind_ipv6 = false
public_network = 127.0.0.0/8
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = true
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
# Else the monitor and the script below set both at once, and every second start fails.
osd_class_update_on_start = false
osd_crush_update_on_start = false
memstore_device_bytes = 2147483648
mon_data = {folder}/mon
osd_data = {folder}/osd
run_dir = {folder}/run
pid_file = {folder}/run/$name.pid
admin_socket = {folder}/run/$name.asok
log_file = {folder}/$name.log
setuser_match_path =
mon_data_avail_crit = 1
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_run_sync_thread = false
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
[client.rgw]
rgw_data = {folder}/rgw
"""


class RADOSGateway:
    """A gateway that can be stopped, killed and started again; its objects live in the memory of a process behind it.

    Use it in a `with`: however the block ends, all processes and the folder are gone.
    """

    def __init__(self) -> None:
        for program in ("radosgw", "ceph-mon", "ceph-osd"):
            require(program)
        # Short, for the path of a socket has a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="rgw-", dir="/tmp"))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._conf = self.folder / "ceph.conf"

    def start(self) -> None:
        """Start all of it, and wait until it answers."""
        for name in ("mon", "osd", "run"):
            (self.folder / name).mkdir()
        fsid, osd, mon = str(uuid.uuid4()), str(uuid.uuid4()), free_port()
        self._conf.write_text(_CONF.format(fsid=fsid, mon=mon, port=self.port, folder=self.folder))
        monmap = str(self.folder / "monmap")
        address = f"[v1:127.0.0.1:{mon}]"
        subprocess.run(
            ["monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._run("ceph-mon", "-i", "a")
        self._ask_monitor("osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._ask_monitor("osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        self._run("ceph-osd", "-i", "0")
        self.start_gateway()
        keys = ("--access-key=test", "--secret-key=testsecret")
        self.admin("user", "create", "--uid=test", "--display-name=test", *keys)
        self.client.create_bucket(Bucket=BUCKET)

    def _run(self, program: str, *arguments: str) -> None:
        # In a file and not a pipe: the daemons that it starts keep it open.
        with (self.folder / "printed").open("a+b") as printed:
            done = subprocess.run(
                [program, "-c", str(self._conf), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=60,
            )
            printed.seek(0)
            assert done.returncode == 0, printed.read().decode(errors="replace")

    def _ask_monitor(self, *arguments: str) -> None:
        # One that has just begun refuses now and then to say what it can be asked.
        for attempt in range(10):
            try:
                self._run("ceph", *arguments)
                return
            except AssertionError:
                if attempt == 9:
                    raise
                time.sleep(0.5)

    def admin(self, *arguments: str) -> None:
        """What only who runs the gateway may do."""
        self._run("radosgw-admin", *arguments)

    def start_gateway(self) -> None:
        """Start the gateway where it was killed, and wait until it listens."""
        self._run("radosgw", "-n", "client.rgw")
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline, "the gateway does not listen"
            time.sleep(0.05)

    @property
    def _gateway(self) -> int:
        return int((self.folder / "run" / "client.rgw.pid").read_text())

    def kill_gateway(self) -> None:
        """End it at once; what it had stored is there when it is started again."""
        _end(self._gateway)

    def stop_gateway(self) -> None:
        """Have it take connections, and say nothing to them."""
        os.kill(self._gateway, signal.SIGSTOP)

    def continue_gateway(self) -> None:
        """Let it go on, with all it has been asked meanwhile."""
        os.kill(self._gateway, signal.SIGCONT)

    @cached_property
    def client(self) -> Any:
        """A client that asks past the app."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="testsecret",
            config=Config(s3={"addressing_style": "path"}),
        )

    def empty(self, **options: str) -> str:
        """The URL of a new place without files; options are those of `s3://`."""
        more = "".join(f"&{name}={quote(value)}" for name, value in options.items())
        return f"s3://{BUCKET}/{secrets.token_hex(6)}?endpoint_url={self.endpoint}{more}"

    def lying(self, url: str) -> dict[str, int]:
        """All that lies there, asked past the app: size by key."""
        prefix = _prefix_of(url)
        # A page has a thousand.
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"].removeprefix(prefix): entry["Size"] for entry in found}

    def remove(self, url: str) -> None:
        """Remove all that lies there, and give its memory back."""
        for key in self.lying(url):
            self.client.delete_object(Bucket=BUCKET, Key=_prefix_of(url) + key)
        self.admin("gc", "process", "--include-all")

    def unfinished(self, url: str) -> list[str]:
        """The keys of multipart uploads that were begun there and neither completed nor aborted."""
        prefix = _prefix_of(url)
        found = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
        return [entry["Key"].removeprefix(prefix) for entry in found]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # All at once: a plain end takes seconds, and nothing of it is needed again.
        for path in (self.folder / "run").glob("*.pid"):
            _end(int(path.read_text()))
        shutil.rmtree(self.folder)


def _prefix_of(url: str) -> str:
    return url.partition("?")[0].removeprefix(f"s3://{BUCKET}/") + "/"


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while runs(pid):
        assert time.monotonic() < deadline, "a killed process of the gateway does not go away"
        time.sleep(0.01)
