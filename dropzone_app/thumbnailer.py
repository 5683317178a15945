"""One small picture of one picture, made in a process of its own: nothing of the package is imported here.

``python -I -S thumbnailer.py FORMAT EDGE PIXELS MEMORY SECONDS FOLDER…`` reads the picture from standard input and
writes WebP to standard output; with an EDGE of 0 it decodes all frames and writes nothing. The limits are on this
process, so that whatever a picture makes its decoder do ends here: bytes of memory, seconds of processor time, pixels,
one format, no file written. FOLDER: where Pillow lies.

Exit 65 (EX_DATAERR of sysexits.h) where no picture can be made of it, 74 (EX_IOERR) where it cannot be read.
"""

import contextlib
import io
import os
import resource
import signal
import sys
import warnings
from typing import IO, Any

EX_DATAERR, EX_IOERR = 65, 74

#: How a decoder ends that a picture has led astray, or led on for too long. Killed is who was in the way.
DATA_SIGNALS = frozenset(
    {signal.SIGXCPU, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
)


def _limit(memory: int, seconds: int) -> None:
    limits = (
        (resource.RLIMIT_AS, memory, memory),
        # At the second one the end is that of a process which somebody kills.
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for limit, soft, hard in limits:
        # Not every system has all of them; the bound on pixels holds everywhere.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (soft, hard))
    with contextlib.suppress(OSError):
        os.nice(5)
    # Where memory is short for the whole machine, this is what the system shall end, and not the server.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def thumbnail(file: IO[bytes], form: str, edge: int, pixels: int) -> bytes:
    """WebP of the first frame, upright, in sRGB, at most ``edge`` pixels wide and high, with no metadata."""
    from PIL import Image, ImageOps

    with _opened(file, form, pixels) as opened:
        picture = _plain(opened)
        # For JPEG this asks the decoder for an eighth, a quarter or half of the size (`draft`).
        picture.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=3.0)
        picture = _in_srgb(ImageOps.exif_transpose(picture), opened.info.get("icc_profile"))
    # What is left in here would be written along: profile, Exif, XMP, comments.
    picture.info = {}
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=75, method=4)
    return out.getvalue()


def check(file: IO[bytes], form: str, pixels: int) -> bytes:
    """Decode every frame, and make nothing of it."""
    from PIL import ImageSequence

    with _opened(file, form, pixels) as opened:
        if opened.format == "JPEG":
            # It is read to its end all the same, and takes a 64th of the memory. (Several in one file do not.)
            opened.draft(None, (1, 1))
        for frame in ImageSequence.Iterator(opened):
            frame.load()
    return b""


def _opened(file: IO[bytes], form: str, pixels: int) -> Any:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    if form == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return Image.open(file, formats=[form])


def _plain(opened: Any) -> Any:
    """The picture in a mode that can be made smaller: palettes and bilevel pictures have no colours in between."""
    if opened.has_transparency_data:
        return opened.convert("RGBA") if opened.mode != "RGBA" else opened
    if opened.mode.startswith("I"):
        # 16 bits of grey; a plain conversion would cut off all above 255.
        return opened.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return opened if opened.mode in {"L", "RGB", "CMYK"} else opened.convert("RGB")


def _in_srgb(picture: Any, profile: bytes | None) -> Any:
    from PIL import ImageCms

    plain = "RGBA" if picture.mode == "RGBA" else "RGB"
    if profile:
        # One that cannot be read says nothing of the colours.
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(
                picture, source, ImageCms.createProfile("sRGB"), outputMode=plain
            )
    return picture.convert(plain)


def main(arguments: list[str]) -> int:
    form, edge, pixels, memory, seconds, *folders = arguments
    _limit(int(memory), int(seconds))
    sys.path += folders
    import PIL.Image  # noqa: F401  # where it is broken or missing, that is no fault of the picture

    try:
        file = sys.stdin.buffer
        made = thumbnail(file, form, int(edge), int(pixels)) if int(edge) else check(file, form, int(pixels))
    except Exception as error:
        # Pillow's own are OSErrors too; those of the system have a number.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return EX_IOERR if isinstance(error, OSError) and error.errno else EX_DATAERR
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
