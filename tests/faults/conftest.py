"""Disks of our own to break: small file systems in a file, mounted for one test."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import missing


@dataclass
class Disk:
    """A mounted file system and the file that is its device."""

    folder: Path
    image: Path


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """Mount new disks: ``mounted("ext4", "-O", "^has_journal")``, or one that lies in a file: ``mounted(image=…)``."""
    if os.geteuid() or not shutil.which("mkfs.ext4"):
        missing("Mounting a disk takes root and mkfs.ext4.")
    with ExitStack() as stack:

        def mount(kind: str = "ext4", *options: str, image: Path | None = None, mib: int = 32) -> Disk:
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
