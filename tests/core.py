"""What the tests of the core share: apps and sites in a folder, multipart bodies, samples of every kind."""

import errno
import os
import weakref
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from corpus.samples import SAMPLES as SAMPLES
from flask import Flask
from hypothesis import settings
from once import empty_database
from sqlalchemy import delete, text
from support import IN_CI
from werkzeug.datastructures import FileStorage

from dropzone_app import Uploads, UploadSet, create_app
from dropzone_app.batch import Batch
from dropzone_app.records import upgrading
from dropzone_app.records.tables import metadata, version
from dropzone_app.uploads import Site

# A slow machine is no failure. CI asks the same questions each time, people new ones; EXAMPLES=5000 asks more.
settings.register_profile(
    "steady", deadline=None, derandomize=IN_CI, max_examples=int(os.environ.get("EXAMPLES", "100"))
)
settings.load_profile("steady")

BOUNDARY = "frontier"


def database_url(folder: Path) -> str:
    """Where the records of a test lie, with their tables: on the engine that `database` has chosen, else in SQLite."""
    if url := os.environ.get("TESTS_DATABASE"):
        return url
    file = folder / "app.sqlite"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        file.write_bytes(empty_database())
    return f"sqlite:///{file}"


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


def forget_all(site: Site) -> None:
    """Empty the tables, for the next of the stories that one test tells."""
    with site.records._database.write() as connection:
        for table in metadata.sorted_tables:
            if table is not version:
                connection.execute(delete(table))


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
