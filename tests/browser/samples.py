"""Real files of many kinds, made here, and what the browser tests do with them."""

import base64
import io
import json
import struct
import time
import wave
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from corpus.formats import office
from playwright.sync_api import Locator, Page, expect

_PAINT = """([type, hue]) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 240];
  const paint = canvas.getContext("2d");
  const sky = paint.createLinearGradient(0, 0, 0, 240);
  sky.addColorStop(0, `hsl(${hue} 70% 45%)`);
  sky.addColorStop(0.62, `hsl(${hue + 40} 85% 78%)`);
  sky.addColorStop(0.63, `hsl(${hue + 190} 45% 32%)`);
  sky.addColorStop(1, `hsl(${hue + 210} 50% 18%)`);
  paint.fillStyle = sky;
  paint.fillRect(0, 0, 320, 240);
  paint.fillStyle = `hsl(${hue + 60} 95% 88%)`;
  paint.beginPath();
  paint.arc(90 + (hue % 140), 96, 26, 0, 7);
  paint.fill();
  return canvas.toDataURL(type, 0.85).split(",")[1];
}"""


def painted(page: Page, media_type: str, hue: int) -> bytes:
    """A landscape, encoded by the browser itself: the JPEG and WebP files that people have."""
    return base64.b64decode(page.evaluate(_PAINT, [media_type, hue]))


def png(red: int, green: int, blue: int, size: int = 64) -> bytes:
    """A PNG of one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    line = b"\0" + bytes([red, green, blue]) * size
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(line * size))
        + chunk(b"IEND", b"")
    )


def gif() -> bytes:
    """A GIF of one pixel."""
    return (
        b"GIF89a\x01\0\x01\0\x80\0\0\xff\x80\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"  # one red pixel
    )


def bmp(size: int = 8) -> bytes:
    """A BMP of one colour."""
    pixels = b"\x40\x80\xc0\0" * size * size
    return (
        struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, size, size, 1, 32, 0, len(pixels), 2835, 2835, 0, 0)
        + pixels
    )


def pdf(text: str) -> bytes:
    """A PDF of one page."""
    content = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj%sendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for offset in offsets:
        out.write(b"%010d 00000 n \n" % offset)
    out.write(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


def sound(seconds: float = 0.2) -> bytes:
    """A WAV of silence."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(8000 * seconds) * 2))
    return out.getvalue()


def twenty(folder: Path, page: Page) -> list[Path]:
    """Twenty good files of mixed kinds, with the names that people give."""
    contents = {
        "beach at dawn.jpg": painted(page, "image/jpeg", 20),
        "the old stone bridge with everybody on it, second try.jpg": painted(page, "image/jpeg", 200),
        "Küche (vorher).webp": painted(page, "image/webp", 120),
        "写真.jpeg": painted(page, "image/jpeg", 300),
        "logo.png": png(30, 120, 200),
        "cake.PNG": png(200, 60, 90),
        "dot.gif": gif(),
        "scan.bmp": bmp(),
        "contract.pdf": pdf("Contract"),
        "seating plan.pdf": pdf("Seating plan"),
        "speech.docx": office("docx"),
        "budget.xlsx": office("xlsx"),
        "notes.txt": b"First line\r\nSecond line\r\n",
        "empty.txt": b"",
        "README.md": "# Überschrift\n".encode(),
        "guests.csv": b"name,table\n" + b"Ada,1\n" * 400,
        "settings.json": json.dumps({"a": [1, 2, 3]}).encode(),
        "feed.xml": b"<?xml version='1.0'?><feed/>",
        "bells.wav": sound(),
        "carriage return.txt": b"ends with a carriage return\r",
    }
    assert len(contents) == 20
    return write(folder, contents)


def write(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    """The files, in this order; names may have folders."""
    paths = []
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


class Dragging:
    """A drag as the operating system makes it: trusted events, real entries, folders too."""

    def __init__(self, page: Page, paths: list[Path], items: list[dict[str, str]] | None = None) -> None:
        self._session = page.context.new_cdp_session(page)
        self._data = {
            "items": items or [],
            "files": [str(path) for path in paths],
            "dragOperationsMask": 1,
        }

    def over(self, x: float, y: float) -> None:
        self._send("dragEnter", x, y)
        self._send("dragOver", x, y)

    def drop(self, x: float, y: float) -> None:
        self._send("drop", x, y)

    def _send(self, kind: str, x: float, y: float) -> None:
        self._session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": self._data})


def middle(locator: Locator) -> tuple[float, float]:
    """The point a person would aim at."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    assert box, "not visible"
    return box["x"] + box["width"] / 2, box["y"] + min(box["height"] / 2, 150)


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders on the zone."""
    x, y = middle(page.locator(".uploads-prompt"))
    dragging = Dragging(page, list(paths))
    dragging.over(x, y)
    dragging.drop(x, y)


def counts(page: Page) -> dict[str, int]:
    """The zone's counters."""
    found: dict[str, int] = page.evaluate(
        "document.querySelector('[data-uploads-zone]').batchUploader.counts"
    )
    return found


def finished(page: Page, files: int, timeout: float = 60_000) -> dict[str, int]:
    """Wait until nothing of `files` is open any more, and return the counters."""
    expect(page.locator("[data-uploads-summary][data-state=done]")).to_be_visible(timeout=timeout)
    # What is seen may be a frame old.
    until(page, "document.querySelector('[data-uploads-zone]').batchUploader.finished", timeout / 1000)
    found = counts(page)
    assert found["files"] == files
    return found


def until(page: Page, condition: str, timeout: float = 60) -> None:
    """Wait until this expression is true in the page; its policy forbids Playwright's own way to do so."""
    deadline = time.monotonic() + timeout
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"it never came true: {condition}"
        page.wait_for_timeout(50)


def row(page: Page, name: str) -> Locator:
    """The row of the file with this name."""
    return page.locator(".dz-preview").filter(has=page.locator(f'[data-dz-name][title$="{name}"]'))


def states(page: Page) -> dict[str, str]:
    """Name and state of each row."""
    found: dict[str, Any] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".dz-preview")].map(
          (row) => [row.querySelector("[data-dz-name]").textContent, row.dataset.state]))"""
    )
    return found


def listed(page: Page) -> list[dict[str, Any]]:
    """The files that the server lists for the person at this page, newest first."""
    answer = page.request.get(urljoin(page.url, "/files"), headers={"Accept": "application/json"})
    found: list[dict[str, Any]] = answer.json()["files"]
    return found


def everything(page: Page) -> list[dict[str, Any]]:
    """All files that the server lists, over its pages."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = page.request.get(
            urljoin(page.url, "/files"),
            params={"cursor": cursor} if cursor else {},
            headers={"Accept": "application/json"},
        ).json()
        found += answer["files"]
        cursor = answer["next"]
    return found
