"""Runs :mod:`thumbnailer` in a process of its own, with bounds on memory and time that hold whatever a picture is."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, BinaryIO, cast

from . import cores, thumbnailer

#: Bytes of a child's memory: a picture of 100 megapixels in colour, or 40 with transparency.
MAX_MEMORY = 512 << 20
#: Seconds of processor time of a child.
MAX_SECONDS = 10
#: Seconds after which it is given up, however little of the processor it got.
PATIENCE = 20.0

_log = logging.getLogger(__name__)


class Undecided(Exception):
    """Nothing is known of the picture: the machine is busy, or the decoder was ended by somebody."""


def available(form: str) -> bool:
    """Whether pictures of this format (Pillow's name of it) can be decoded here."""
    needed = ("PIL", "pillow_heif") if form == "HEIF" else ("PIL",)
    return bool(form and sys.executable and all(map(_folder_of, needed)))


def decode(file: IO[bytes], form: str, *, pixels: int, edge: int = 0) -> bytes | None:
    """A WebP of at most ``edge`` pixels a side; for 0 every frame is decoded, and b"" returned.

    None where that cannot be done. ``pixels``: of the largest picture that is tried. Undecided where nothing is known
    of it, OSError where the file cannot be read.
    """
    # Nothing of the server's environment: keys and passwords are often there.
    env = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    with with_descriptor(file) as source:
        try:
            with cores.all_used():
                done = subprocess.run(
                    command(form, edge, pixels), stdin=source, capture_output=True, timeout=PATIENCE, env=env
                )
        except subprocess.TimeoutExpired:
            raise Undecided from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == thumbnailer.EX_DATAERR or -done.returncode in thumbnailer.DATA_SIGNALS:
        return None
    _log.error("a decoder failed (%s): %s", done.returncode, done.stderr.decode(errors="replace"))
    raise Undecided


def command(form: str, edge: int, pixels: int) -> list[str]:
    """The child that decodes one picture, with its bounds."""
    bounds = (edge, pixels, MAX_MEMORY, MAX_SECONDS)
    folders = dict.fromkeys(filter(None, (_folder_of("PIL"), _folder_of("pillow_heif"))))
    return [sys.executable, "-I", "-S", thumbnailer.__file__, form, *map(str, bounds), *folders]


@contextlib.contextmanager
def with_descriptor(file: IO[bytes]) -> Iterator[BinaryIO]:
    """``file`` itself where another process can read it, and this one map it, else a copy."""
    try:
        file.fileno()
    except OSError:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield cast(BinaryIO, copy)
    else:
        yield cast(BinaryIO, file)


@cache
def _folder_of(package: str) -> str | None:
    """The folder that a package is installed in; None where it is not."""
    spec = find_spec(package)
    return str(Path(spec.origin).parent.parent) if spec and spec.origin else None
