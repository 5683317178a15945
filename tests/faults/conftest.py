"""Disks of our own to break: small file systems, mounted for one test, and calls that fail under a running server."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from engines.fleet import Engine
from support import LiveServer, missing, require


@dataclass
class Disk:
    """A mounted file system and the file that is its device."""

    folder: Path
    image: Path


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)


class Faults:
    """What fails of the calls that the server in `engine` makes; see faults.c."""

    def __init__(self, engine: Engine, told: Path) -> None:
        self.engine = engine
        self._told = told

    @contextlib.contextmanager
    def failing(self, call: str, number: int, word: str) -> Iterator[None]:
        """Each `call` ("write", "sync", "link") fails with this errno on files whose path holds `word`."""
        # At once, as the server may be reading it.
        draft = self._told.with_suffix(".draft")
        draft.write_text(f"{call} {number} {word}")
        draft.rename(self._told)
        try:
            yield
        finally:
            self._told.unlink()


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """One server for all tests, whose calls can be made to fail."""
    folder = tmp_path_factory.mktemp("faults")
    library, told = folder / "faults.so", folder / "told"
    source = Path(__file__).with_name("faults.c")
    _run(require("cc", "gcc", "clang"), "-shared", "-fPIC", "-o", library, source)
    env = {"LD_PRELOAD": str(library), "FAULTS": str(told), "FLASK_UPLOADS_TYPES": "bin"}
    with LiveServer(tmp_path_factory.mktemp("server"), workers=2, env=env) as server:
        yield Faults(Engine("granian", server), told)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount new disks in memory: `tmpfs(mib=16)` gives the folder."""
    if os.geteuid():
        missing("Mounting a disk takes root.")
    with ExitStack() as stack:

        def mount(*, mib: int) -> Path:
            folder = Path(tempfile.mkdtemp(dir=tmp_path, prefix="tmpfs"))
            _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder)
            stack.callback(_run, "umount", "-l", folder)
            return folder

        yield mount


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """Mount new disks: ``mounted("ext4", "-O", "^has_journal")``, or one that lies in a file: ``mounted(image=…)``."""
    if os.geteuid():
        missing("Mounting a disk takes root.")
    with ExitStack() as stack:

        def mount(kind: str = "ext4", *options: str, image: Path | None = None, mib: int = 32) -> Disk:
            if not shutil.which(f"mkfs.{kind}"):
                missing(f"Making such a disk takes mkfs.{kind}.")
            number = sum(1 for _ in tmp_path.glob("disk*"))
            folder = tmp_path / f"disk{number}"
            folder.mkdir()
            if image is None:
                image = tmp_path / f"image{number}"
                with image.open("wb") as file:
                    file.truncate(mib << 20)
                _run(f"mkfs.{kind}", "-q", *options, image)
            _run("mount", "-o", "loop", image, folder)
            # A test that failed may have left a file open.
            stack.callback(_run, "umount", "-l", folder)
            return Disk(folder, image)

        yield mount


@pytest.fixture(params=["small", "quota"])
def disk(request: pytest.FixtureRequest, tmpfs: Callable[..., Path], mounted: Callable[..., Disk]) -> Path:
    """A folder that takes 16 MiB: a disk that has no more (ENOSPC), or one that gives it no more (EDQUOT).

    Of the kernels with quotas nearly all have those of btrfs; root is held to them too, which it is not to others.
    """
    if request.param == "small":
        return tmpfs(mib=16)
    folder = mounted("btrfs", mib=128).folder
    _run("btrfs", "quota", "enable", folder)
    _run("btrfs", "subvolume", "create", folder / "ours")
    _run("btrfs", "qgroup", "limit", "16M", folder / "ours")
    return folder / "ours"
