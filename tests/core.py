"""What the tests of the core share: apps and sites in a folder, multipart bodies, samples of every kind."""

import errno
import os
import weakref
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import settings
from sqlalchemy import text
from support import IN_CI
from werkzeug.datastructures import FileStorage

from dropzone_app import Uploads, UploadSet, create_app
from dropzone_app.batch import Batch
from dropzone_app.records import upgrading
from dropzone_app.uploads import Site

# A slow machine is no failure. CI asks the same questions each time, people new ones; EXAMPLES=5000 asks more.
settings.register_profile(
    "steady", deadline=None, derandomize=IN_CI, max_examples=int(os.environ.get("EXAMPLES", "100"))
)
settings.load_profile("steady")

BOUNDARY = "frontier"


def database_url(folder: Path) -> str:
    """Where the records of a test lie: on the engine that the fixture `database` has chosen, else in SQLite."""
    return os.environ.get("TESTS_DATABASE") or f"sqlite:///{folder / 'app.sqlite'}"


def make_app(folder: Path, *sets: UploadSet, **config: Any) -> Flask:
    """An app with all its data in `folder`: the standalone one, or a host's with these upload sets."""
    config = {
        "SECRET_KEY": "test",
        "WTF_CSRF_ENABLED": False,
        "UPLOADS_STORAGE": f"file:{folder / 'uploads'}",
        "UPLOADS_DATABASE": database_url(folder),
        **config,
    }
    with upgrading():
        if sets:
            app = Flask("host", root_path=str(folder))
            app.config.from_mapping(config)
            Uploads(app, *sets)
        else:
            app = create_app(config)
    # Not with the app: many tests go on with its site alone.
    weakref.finalize(site_of(app), site_of(app).records.close)
    return app


def site_of(app: Flask) -> Site:
    site: Site = app.extensions["uploads"]
    return site


def batch_of(site: Site, *parts: tuple[str, bytes], name: str | None = None, **form: str) -> Batch:
    """An uncommitted batch of (filename, content); `uuid_0="u"` is the field `uuid[0]`."""
    fields = {f"{key.rpartition('_')[0]}[{key.rpartition('_')[2]}]": value for key, value in form.items()}
    batch = Batch(site, site.upload_set(name), owner="me", form=fields)
    for index, (filename, content) in enumerate(parts):
        batch.add(f"file[{index}]", FileStorage(BytesIO(content), filename, f"file[{index}]"))
    return batch


def commit(site: Site, *parts: tuple[str, bytes], name: str | None = None, **form: str) -> Batch:
    """The same, committed."""
    batch = batch_of(site, *parts, name=name, **form)
    batch.commit()
    return batch


def codes(batch: Batch) -> list[str | None]:
    """The refusal of each part by its row in the table, None for one that was stored."""
    return [verdict.rejected.code if verdict.rejected else None for verdict in batch.verdicts]


def keys(batch: Batch) -> list[str]:
    """The keys under which the parts of a batch were stored."""
    return [verdict.record.key for verdict in batch.verdicts if verdict.record]


def visible(folder: Path) -> list[str]:
    """The names of the files that people see in the storage folder."""
    root = folder / "uploads"
    files = (p for p in root.rglob("*") if p.is_file() and not is_ours(p, root))
    return sorted(p.relative_to(root).as_posix() for p in files)


def is_ours(path: Path, root: Path) -> bool:
    return path.relative_to(root).parts[0] in {".staging", ".thumbnails"}


def held(folder: Path) -> list[str]:
    """The files below `folder` that this process has open, databases aside: also those without a name."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(f"{folder}/") and ".sqlite" not in target:
            found.append(target)
    return found


def assert_nothing_is_kept(folder: Path, site: Site, *, foreign: Sequence[str] = ()) -> None:
    """Nothing visible but `foreign`, nothing staged, no row in any state, no open file."""
    assert visible(folder) == sorted(foreign)
    assert os.listdir(folder / "uploads" / ".staging") == []
    assert rows(site) == []
    assert held(folder) == []


def rows(site: Site) -> list[tuple[str, str]]:
    """(key, state) of every row, in any state."""
    with site.records._engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT key, state FROM files ORDER BY key"))]


def assert_records_and_files_agree(folder: Path, site: Site, *, foreign: Sequence[str] = ()) -> None:
    """Every row is stored and has its file, of its size; every other visible file is foreign."""
    found = rows(site)
    assert [state for _, state in found if state != "stored"] == []
    assert sorted([key for key, _ in found] + list(foreign)) == visible(folder)
    for record in site.records.everything():
        assert (folder / "uploads" / record.key).stat().st_size == record.size
    assert os.listdir(folder / "uploads" / ".staging") == []
    assert held(folder) == []


def file_part(name: str, filename: str, content: bytes = b"", *more: str) -> bytes:
    """A file part without its delimiters; `more` are header lines."""
    lines = [f'Content-Disposition: form-data; name="{name}"; filename="{filename}"', *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def field_part(name: str, value: bytes | str) -> bytes:
    value = value if isinstance(value, bytes) else value.encode()
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


def form_body(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    """A whole multipart body."""
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


class Dribble(BytesIO):
    """A `wsgi.input` that hands over what it likes: each read returns the next of `sizes`, at most."""

    def __init__(self, body: bytes, sizes: Iterable[int]) -> None:
        super().__init__(body)
        self._sizes = iter(sizes)

    def read(self, size: int | None = -1) -> bytes:
        wanted = next(self._sizes, 1 << 30)
        return super().read(wanted if size is None or size < 0 else min(size, wanted))


def post(
    app: Flask,
    body: bytes,
    stream: Any = None,
    *,
    url: str = "/upload",
    length: int | None = None,
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
    client: Any = None,
) -> Any:
    """Send a body as it is; `stream` replaces what is read, `length` what is announced."""
    # The client's own arguments would be set right: it measures every stream that can be measured.
    overrides = {
        "wsgi.input": stream or BytesIO(body),
        "CONTENT_LENGTH": str(len(body) if length is None else length),
        "CONTENT_TYPE": content_type,
    }
    return (client or app.test_client()).post(url, environ_overrides=overrides)


def forbid_tmpfile(monkeypatch: pytest.MonkeyPatch, number: int = errno.EOPNOTSUPP) -> None:
    """Answer as a file system that knows no `O_TMPFILE` does."""
    real = os.open

    def without_tmpfile(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number), path)
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", without_tmpfile)


def fill(head: bytes, size: int = 2048) -> bytes:
    return head + bytes(max(size - len(head), 0))


_ZIP = fill(b"PK\x03\x04\x14\0")
_OLE = fill(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_TEXT = "Grüße, 世界\n".encode() * 100

#: The beginning of a real file for each extension of the default types and the archives.
SAMPLES: dict[str, bytes] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), fill(b"\xff\xd8\xff\xe0\0\x10JFIF\0")),
    "png": fill(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    "gif": fill(b"GIF89a"),
    "webp": fill(b"RIFF\0\1\0\0WEBPVP8 "),
    "avif": fill(b"\0\0\0\x1cftypavif"),
    "heic": fill(b"\0\0\0\x18ftypheic"),
    "heif": fill(b"\0\0\0\x18ftypmif1"),
    "bmp": fill(b"BM\x36\0"),
    **dict.fromkeys(("tif", "tiff"), fill(b"II*\0\x08")),
    "pdf": fill(b"%PDF-1.7\n"),
    **dict.fromkeys(("docx", "xlsx", "pptx", "odt", "ods", "odp", "odf", "epub", "zip"), _ZIP),
    **dict.fromkeys(("doc", "xls", "ppt"), _OLE),
    "rtf": fill(b"{\\rtf1\\ansi"),
    "gnumeric": fill(b"\x1f\x8b\x08"),
    "abw": b"\xef\xbb\xbf<?xml version='1.0'?><abiword/>",
    **dict.fromkeys(("txt", "md", "csv", "tsv", "json", "xml", "yaml", "yml", "toml", "ini"), _TEXT),
    "mp3": fill(b"ID3\x04\0"),
    "wav": fill(b"RIFF\0\1\0\0WAVEfmt "),
    "flac": fill(b"fLaC\0"),
    "m4a": fill(b"\0\0\0\x20ftypM4A "),
    "aac": fill(b"\xff\xf1\x50"),
    **dict.fromkeys(("ogg", "oga", "opus", "ogv"), fill(b"OggS\0\2")),
    **dict.fromkeys(("mp4", "m4v"), fill(b"\0\0\0\x20ftypisom")),
    "mov": fill(b"\0\0\0\x14ftypqt  "),
    **dict.fromkeys(("webm", "mkv"), fill(b"\x1a\x45\xdf\xa3")),
    "avi": fill(b"RIFF\0\1\0\0AVI LIST"),
    **dict.fromkeys(("mpg", "mpeg"), fill(b"\0\0\1\xba")),
    "3gp": fill(b"\0\0\0\x18ftyp3gp4"),
    "plist": fill(b"bplist00"),
    **dict.fromkeys(("gz", "tgz"), fill(b"\x1f\x8b\x08")),
    "bz2": fill(b"BZh91AY"),
    **dict.fromkeys(("xz", "txz"), fill(b"\xfd7zXZ\0")),
    "7z": fill(b"7z\xbc\xaf\x27\x1c"),
    "tar": bytes(257) + b"ustar\x0000" + bytes(2000),
}
