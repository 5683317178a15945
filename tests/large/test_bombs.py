"""Small files that become large for whoever opens them: the server looks at them in the memory it has anyway."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from corpus import formats as f
from corpus.cases import CASES
from corpus.pdfs import opening, packed
from engines.wire import Visitor
from large.test_large import MIB, kernel_count
from support import LiveServer

#: What each of them becomes.
INFLATED = 96 * MIB


def nothing(size: int = INFLATED) -> bytes:
    """So many zeros, deflated (zlib)."""
    packer, block = zlib.compressobj(1), bytes(MIB)
    return b"".join(packer.compress(block) for _ in range(size // MIB)) + packer.flush()


@cache
def bombs() -> dict[str, bytes]:
    zeros = bytes(INFLATED)
    deflated = nothing()
    rows = nothing(30_000 * (1 + 30_000 // 8) + MIB)
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    mark, end = b"\x89PNG\r\n\x1a\n", f.png_chunk(b"IEND", b"")
    small = f.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = f.png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    return {
        "pixels.png": mark + f.png_chunk(b"IHDR", header) + f.png_chunk(b"IDAT", rows) + end,
        "profile.png": mark + small + f.png_chunk(b"iCCP", b"p\0\0" + deflated) + pixel + end,
        "comment.png": mark + small + f.png_chunk(b"zTXt", b"Comment\0\0" + deflated) + pixel + end,
        "objects.pdf": packed(opening(b"[3 0 R/Fit]"), pack=lambda data: deflated),
        "types.docx": f.zipped({"[Content_Types].xml": zeros, "word/document.xml": "x"}),
        "text.docx": f.office("docx", extra={"word/big.xml": zeros}),
        "kind.odt": f.zipped({"mimetype": zeros}),
        "all.zip": f.zipped({"a": zeros}),
        "all.gz": gzip.compress(zeros, 1),
        "drawing.svgz": gzip.compress(b"<svg>" + zeros, 1),
    }


@pytest.mark.parametrize("asked", ["nothing", "all there is"])
def test_bombs_are_judged_in_bounded_memory_and_never_unpacked(
    live_server: Callable[..., LiveServer], asked: str
) -> None:
    env = {
        "FLASK_UPLOADS_TYPES": "png,gif,jpg,webp,bmp,tif,avif,heic,pdf,docx,odt,zip,gz,tgz,json,xml,svg,mp3,mp4"
    }
    if asked != "nothing":
        env |= {f"FLASK_UPLOADS_{what}": "true" for what in ("DECODE", "STRIP_METADATA")}
        env["FLASK_UPLOADS_SVG"] = "clean"
    server = live_server(env=env)
    visitor = Visitor(server)
    for name in ("warm.png", "warm.pdf", "warm.docx"):
        visitor.upload([(name, b"no such kind")])
    assert visitor.upload([("warm.png", f.png(4, 4))]).status == 201
    sent = bombs() | {
        f"{number} {case.filename}": case.data
        for number, case in enumerate(CASES)
        if case.filename.startswith("bomb.")
    }
    before = {}
    for pid in server.pids():
        # From here on the kernel's peak is that of the bombs.
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        before[pid] = kernel_count(pid, "status", "VmRSS") * 1024
    told = {name: visitor.upload([(name, data)]).status for name, data in sent.items()}
    growth = max(kernel_count(pid, "status", "VmHWM") * 1024 - rss for pid, rss in before.items())
    assert growth < 48 * MIB, "half of what each of the largest becomes"
    assert set(told.values()) <= {201, 413, 415, 422}, told
    refused = {name for name, status in told.items() if status != 201}
    assert refused >= {"pixels.png", "kind.odt", "drawing.svgz"}
    kept = sorted(path for path in (server.folder / "uploads").rglob("*.*") if path.is_file())
    assert sum(os.stat(path).st_size for path in kept) == sum(
        len(sent[name]) for name, status in told.items() if status == 201
    ) + len(f.png(4, 4))
