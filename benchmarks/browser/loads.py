"""What is uploaded: files that the server takes without a setting, because they are what they are called."""

from __future__ import annotations

import base64
import os
import random
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFilter


@dataclass(frozen=True)
class Load:
    """``make(folder, count)`` writes its files."""

    name: str
    what: str
    count: int
    make: Callable[[Path, int], None]
    #: 80 ms from here to the server and back, 20 Mbit/s up.
    slow: bool = False
    #: Whether thumbnails are looked for.
    pictures: bool = False

    @property
    def source(self) -> str:
        """Loads of the same name before the dash send the same files."""
        return self.name.partition("-")[0]

    def files(self, parent: Path) -> list[Path]:
        """Its files below ``parent``, made unless they are there."""
        folder = parent / f"{self.source}-{self.count}"
        if not folder.exists():
            begun = folder.with_name(f"{folder.name}.begun")
            begun.mkdir(parents=True)
            self.make(begun, self.count)
            begun.rename(folder)
        return sorted(folder.iterdir())


def texts(size: int) -> Callable[[Path, int], None]:
    def make(folder: Path, count: int) -> None:
        for number in range(count):
            (folder / f"text {number:05d}.txt").write_bytes(base64.b64encode(os.urandom(size))[:size])

    return make


def sounds(folder: Path, count: int) -> None:
    """25 MiB each."""
    for number in range(count):
        with wave.open(str(folder / f"sound {number:02d}.wav"), "wb") as sound:
            sound.setparams((2, 2, 44_100, 0, "NONE", "not compressed"))
            sound.writeframes(os.urandom((25 << 20) - 44))


def photographs(folder: Path, count: int) -> None:
    """Of about a megapixel and 90 to 180 kB, blurred colours under noise."""
    chance = random.Random(7)
    for number in range(count):
        width, height = chance.choice([(1280, 960), (1024, 768), (960, 1280), (1200, 800)])
        small = width // 16, height // 16
        colours = Image.frombytes("RGB", small, chance.randbytes(small[0] * small[1] * 3))
        noise = Image.effect_noise((width, height), chance.uniform(8, 20)).convert("RGB")
        picture = Image.blend(colours.resize((width, height), Image.Resampling.BICUBIC), noise, 0.25)
        picture.filter(ImageFilter.SMOOTH).save(folder / f"photograph {number:03d}.jpg", quality=75)


LOADS = [
    Load("small", "2,000 × 10 KiB, loopback", 2000, texts(10 << 10)),
    Load("small-slow", "2,000 × 10 KiB, 80 ms and 20 Mbit/s", 2000, texts(10 << 10), slow=True),
    Load("many", "10,000 × 1 KiB, loopback", 10_000, texts(1 << 10)),
    Load("big", "12 × 25 MiB, loopback", 12, sounds),
    Load("photographs", "300 photographs, loopback", 300, photographs, pictures=True),
]
