"""Flask-Reuploaded's names over our upload sets: ``from dropzone_app.reuploaded import UploadSet, configure_uploads``.

What its documentation promises holds here. Beyond it: a file appears whole or not at all and never replaces
another, names of every script and nested folders stay, and nothing gets slower by what is stored already.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, BinaryIO, Self
from urllib.parse import quote

from flask import Blueprint, Flask, Response, abort, current_app, send_from_directory, url_for
from werkzeug.datastructures import FileStorage, Headers
from werkzeug.routing import BuildError

from . import uploads
from .checks import Rules
from .config import SettingError, Settings, Size, extensions_at, parse_flag, parse_folder, parse_size
from .errors import Rejected
from .intake import receive_part
from .kinds import ALL, EXECUTABLES, SCRIPTS, SOURCE, AllExcept, kind_of
from .naming import display_name, extension_of, numbered, storage_name
from .storage import LocalStorage, StagedFile

__all__ = [
    "ALL",
    "ARCHIVES",
    "AUDIO",
    "DATA",
    "DEFAULTS",
    "DOCUMENTS",
    "EXECUTABLES",
    "IMAGES",
    "SCRIPTS",
    "SOURCE",
    "TEXT",
    "AllExcept",
    "TestingFileStorage",
    "UploadConfiguration",
    "UploadNotAllowed",
    "UploadSet",
    "addslash",
    "config_for_set",
    "configure_uploads",
    "extension",
    "lowercase_ext",
]

# As they are documented there; dropzone_app's own presets of these names hold more, and no svg.
TEXT = ("txt",)
DOCUMENTS = ("rtf", "odf", "ods", "gnumeric", "abw", "doc", "docx", "xls", "xlsx", "pdf")
IMAGES = ("jpg", "jpe", "jpeg", "png", "gif", "svg", "bmp", "webp")
AUDIO = ("wav", "mp3", "aac", "ogg", "oga", "flac")
DATA = ("csv", "ini", "json", "plist", "xml", "yaml", "yml")
ARCHIVES = ("gz", "bz2", "zip", "tar", "tgz", "txz", "7z")
DEFAULTS = TEXT + DOCUMENTS + IMAGES + DATA

#: Names whose next number an upload set remembers. One that was forgotten is found again, a little slower.
REMEMBERED = 10_000


class UploadNotAllowed(Rejected):
    """The file may not be one of the set; the text says why, and can be shown to the person."""

    def __init__(
        self, text: str = "This file is not accepted here.", status: int = 415, code: str = "custom"
    ) -> None:
        super().__init__(text, status, code)

    @classmethod
    def by(cls, rejected: Rejected) -> UploadNotAllowed:
        """The same refusal, as callers of :meth:`UploadSet.save` expect it."""
        return cls(rejected.sentence, rejected.status, rejected.code)


def extension(filename: str) -> str:
    """``archive.tar.gz`` → ``gz``; ``""`` where there is none."""
    return os.path.splitext(filename)[1].removeprefix(".")


def lowercase_ext(filename: str) -> str:
    """``PHOTO.JPG`` → ``PHOTO.jpg``; a name without an extension stays as it is."""
    stem, suffix = os.path.splitext(filename)
    return stem + suffix.lower()


def addslash(url: str) -> str:
    """``url`` with exactly the slash at its end that it may lack."""
    return url if url.endswith("/") else f"{url}/"


class UploadConfiguration:
    """What an app says about one set. The four arguments are also its attributes, and what ``==`` compares."""

    def __init__(
        self,
        destination: str,
        base_url: str | None = None,
        allow: tuple[str, ...] = (),
        deny: tuple[str, ...] = (),
    ) -> None:
        self.destination = destination
        self.base_url = base_url
        self.allow = allow
        self.deny = deny
        #: Whether :meth:`UploadSet.save` waits until the disk has the file.
        self.durable = True
        #: None: the set's own limit, if it has one.
        self.max_file_size: Size | None = None

    @property
    def tuple(self) -> tuple[str, str | None, tuple[str, ...], tuple[str, ...]]:
        return (self.destination, self.base_url, self.allow, self.deny)

    def __eq__(self, other: object) -> bool:
        return self.tuple == other.tuple if isinstance(other, UploadConfiguration) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can be changed


class UploadSet(uploads.UploadSet):
    """A named declaration of what may be uploaded, with :meth:`save`, :meth:`url` and :meth:`path`.

    ``default_dest(app)`` names the folder where no ``UPLOADED_<SET>_DEST`` does. ``options`` are those of
    :class:`dropzone_app.UploadSet`, and the same set can be given to ``Uploads`` too: then the drop zone and its
    rules come from it.

    :meth:`save` looks at name and extension. It also looks at the content, as the drop zone does, where
    ``content`` is true, or where ``max_file_size`` or ``checks`` are declared.
    """

    def __init__(
        self,
        name: str = "files",
        extensions: Iterable[str] | AllExcept = DEFAULTS,
        default_dest: Callable[[Flask], str | os.PathLike[str] | None] | None = None,
        *,
        content: bool = False,
        **options: Any,
    ) -> None:
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z0-9]+", name):
            raise SettingError(f"An upload set's name must be letters and digits; it is {name!r}.")
        if default_dest is not None and not callable(default_dest):
            raise SettingError(
                f"The upload set {name!r}: default_dest must be a function of the app; it is {default_dest!r}."
            )
        super().__init__(name, None, **options)
        # Theirs has sets of files without an extension, and sets that only configuration fills.
        if isinstance(extensions, str | tuple | list) and all(word == "" for word in extensions):
            self.extensions = ("",) if extensions == "" or "" in extensions else ()
        else:
            where = f"The upload set {name!r}: extensions"
            self.extensions = uploads.OPTIONS["extensions"].parse(where, extensions)
        self.default_dest = default_dest
        self.content = content
        #: Set it to use the set without an app.
        self._config: UploadConfiguration | None = None
        self._numbers: dict[tuple[str, str], int] = {}
        self._numbering = threading.Lock()

    def configured(self, settings: Settings) -> Self:
        """As for every set; SettingError where anyone would be served what the drop zone keeps for its owner."""
        here = super().configured(settings)
        served = settings.of_all("AUTOSERVE", parse_flag) and settings.of_set(self.name, "URL", _url) is None
        if served and not here.public and self.destination(settings):
            key = f"UPLOADED_{self.name.upper()}"
            raise SettingError(
                f"UPLOADS_AUTOSERVE serves {key}_DEST to anyone, with what the drop zone stores there; declare the "
                f"upload set {self.name!r} public=True, or name another storage for its zone in {key}_STORAGE."
            )
        return here

    @property
    def config(self) -> UploadConfiguration:
        """What the current app says about this set. RuntimeError where it was not configured."""
        if self._config is not None:
            return self._config
        configured = getattr(current_app, "upload_set_config", None)
        if configured is None:
            raise RuntimeError(
                "The application is not properly configured. Please make sure to use `configure_uploads`."
            )
        try:
            found: UploadConfiguration = configured[self.name]
        except KeyError:
            raise RuntimeError(
                f"The upload set {self.name!r} is not configured for this application. "
                "Please give it to `configure_uploads`."
            ) from None
        return found

    def url(self, filename: str) -> str:
        """Where a file that :meth:`save` has named is read. RuntimeError where nothing serves the set."""
        base = self.config.base_url
        if base is not None:
            return (addslash(base) if base else base) + quote(filename)
        try:
            return url_for("_uploads.uploaded_file", setname=self.name, filename=filename, _external=True)
        except BuildError:
            raise RuntimeError(
                f"Nothing serves the upload set {self.name!r}: set UPLOADED_{self.name.upper()}_URL, "
                "or UPLOADS_AUTOSERVE to True before `configure_uploads`."
            ) from None

    def path(self, filename: str, folder: str | None = None) -> str:
        """The file's path on this machine, whether it exists or not. ValueError for one outside the destination."""
        path = os.path.join(self.config.destination, folder or "", filename)
        self._contain(path)
        return path

    def file_allowed(self, storage: FileStorage, basename: str) -> bool:
        """Whether ``storage`` may be saved under ``basename``. Yours to override; this one judges the extension."""
        return self.extension_allowed(extension(basename))

    def extension_allowed(self, ext: str) -> bool:
        """Whether files with this extension may be in the set; what configuration allows beats what it denies."""
        config = self.config
        return ext in config.allow or (ext in self.extensions and ext not in config.deny)

    def get_basename(self, filename: str) -> str:
        """What a file with this name is called in the set, unless that is taken."""
        return lowercase_ext(_sanitised(filename) or "file")

    def save(self, storage: FileStorage, folder: str | None = None, name: str | None = None) -> str:
        """Save an uploaded file; return its name, with its folder in front.

        ``name`` replaces the file's own; one that ends with a dot gets the file's extension. It may hold the folder:
        ``name="someguy/photo_123."``. A name that is taken gets a number. The file appears whole, under a name that
        nothing had; or nothing appears.

        UploadNotAllowed says why the set does not take the file. TypeError for what is no FileStorage, ValueError
        for a name of which nothing is left or a folder that leads out of the destination, OSError where the disk
        is full or failing.
        """
        if not isinstance(storage, FileStorage):
            raise TypeError(f"storage must be a werkzeug FileStorage; it is {storage!r}.")
        for what, value in ("folder", folder), ("name", name):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{what} must be a string; it is {value!r}.")
        if folder is None and name is not None and "/" in name:
            folder, name = name.rsplit("/", 1)
        basename = self._basename(storage, name)
        folder = "/".join(filter(None, map(_sanitised, re.split(r"[\\/]", folder or ""))))
        destination = self.config.destination
        self._contain(os.path.join(destination, folder))
        if type(storage).save is FileStorage.save:
            os.makedirs(destination, exist_ok=True)
            basename = self._store(storage, folder, basename)
        else:
            # It saves itself, somehow; all it takes is a path.
            os.makedirs(os.path.join(destination, folder), exist_ok=True)
            if os.path.exists(os.path.join(destination, folder, basename)):
                basename = self.resolve_conflict(os.path.join(destination, folder), basename)
            storage.save(os.path.join(destination, folder, basename))
        return posixpath.join(folder, basename)

    def resolve_conflict(self, target_folder: str, basename: str) -> str:
        """Another name for ``basename``, which is taken in this folder. Yours to override.

        This one gives every name a number of its own: ``photo.jpg``, ``photo_1.jpg``, … It remembers the next one,
        and finds it in a folder it does not know without looking at every file.
        """

        def taken(number: int) -> bool:
            return os.path.exists(os.path.join(target_folder, numbered(basename, number)))

        with self._numbering:
            number = _free(taken, self._numbers.pop((target_folder, basename), 1))
            self._numbers[target_folder, basename] = number + 1
            if len(self._numbers) > REMEMBERED:
                del self._numbers[next(iter(self._numbers))]
        return numbered(basename, number)

    def _basename(self, storage: FileStorage, name: str | None) -> str:
        """The name to save under, checked as it will be stored."""
        if storage.filename is None:
            raise ValueError("Filename must not be empty!")
        if not storage.filename:
            raise UploadNotAllowed("No file was chosen.", 400)
        basename = self.get_basename(storage.filename)
        if not self.file_allowed(storage, basename):
            raise self._not_allowed(basename)
        if not name:
            return basename
        wanted = _sanitised(name)
        if not wanted:
            raise ValueError(f"Invalid filename after sanitization: nothing is left of {name!r}.")
        if name.rstrip().endswith(".") and extension(basename):
            wanted = storage_name(f"{wanted}.{extension(basename)}")
        wanted = lowercase_ext(wanted)
        if not self.extension_allowed(extension(wanted)):
            raise self._not_allowed(wanted)
        return wanted

    def _not_allowed(self, basename: str) -> UploadNotAllowed:
        ext = extension(basename)
        if self.extension_allowed(ext):
            return UploadNotAllowed()
        config, listed = self.config, self.extensions
        if isinstance(listed, AllExcept):
            rules = _rules(denied=tuple(e for e in (*listed.items, *config.deny) if e not in config.allow))
        else:
            rules = _rules(extensions=(*(e for e in listed if e not in config.deny), *config.allow))
        code = "extension" if ext else "no_extension"
        return UploadNotAllowed.by(Rejected.because(code, extension=ext[:20], accepted=rules.accepted))

    def _contain(self, path: str) -> None:
        """ValueError where ``path``, with all symbolic links followed, is outside the destination."""
        root = os.path.realpath(self.config.destination)
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise ValueError("Path traversal: the path leads out of the upload set's destination.")

    def _store(self, storage: FileStorage, folder: str, basename: str) -> str:
        """Stage the bytes, then give them their name: a link is atomic, and fails where the name is taken."""
        config = self.config
        place = LocalStorage(config.destination, durable=config.durable, digest=False, shared=True)
        staged = self._staged(place, storage, basename)
        try:
            if config.durable:
                # Before it has a name: after a power cut no name may stand for half a file.
                os.fsync(staged.fileno())
            basename = self._link(place, staged, folder, basename)
            place.sync([(staged, posixpath.join(folder, basename))])
        finally:
            staged.close()
        return basename

    def _staged(self, place: LocalStorage, storage: FileStorage, basename: str) -> StagedFile:
        limit = self.config.max_file_size or self.max_file_size
        if self.content or limit or self.checks:
            file = FileStorage(storage.stream, basename, storage.name, headers=Headers(storage.headers))
            part = receive_part(place, _rules(max_file_size=limit), file)
            try:
                self.check(part)
            except Rejected as rejected:
                part.reject(rejected)
            except BaseException:
                part.discard()
                raise
            if part.rejected is not None:
                raise UploadNotAllowed.by(part.rejected)
            assert part.staged
            return part.staged
        staged = place.stage()
        try:
            while data := storage.stream.read(1 << 20):
                staged.write(data)
        except BaseException:
            staged.close()
            raise
        return staged

    def _link(self, place: LocalStorage, staged: StagedFile, folder: str, wanted: str) -> str:
        target_folder = os.path.join(self.config.destination, folder)
        basename, tried = wanted, set[str]()
        while basename not in tried:
            tried.add(basename)
            try:
                place.commit(staged, posixpath.join(folder, basename))
            except FileExistsError:
                # Threads and other processes number names too: whoever links first has it.
                basename = self.resolve_conflict(target_folder, wanted)
            else:
                return basename
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), basename)


def _sanitised(segment: str) -> str:
    """``segment`` as a name in a folder, ``""`` where nothing usable is left.

    Blanks and slashes become underscores and none of these stands at an end, so that what ``/etc/passwd``
    becomes is what the documentation says, and a URL needs no quoting for plain names.
    """
    flat = re.sub(r"[\\/\s]+", "_", segment).strip("._")
    return storage_name(flat) if display_name(flat) else ""


def _free(taken: Callable[[int], bool], number: int) -> int:
    """A number from ``number`` on that is not taken, though the one before it is: by doubling steps, then halving."""
    if not taken(number):
        return number
    low, step = number, 1
    while taken(number + step):
        low, step = number + step, 2 * step
    high = number + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return high


def _rules(
    extensions: tuple[str, ...] | None = None,
    denied: tuple[str, ...] = (),
    max_file_size: Size | None = None,
) -> Rules:
    return Rules(
        extensions=extensions,
        denied=denied,
        max_file_size=max_file_size or Size(1 << 62),
        max_files=None,
        max_parts=1,
        max_total_size=None,
    )


def config_for_set(
    uset: UploadSet, app: Flask, defaults: Mapping[str, str | None] | None = None
) -> UploadConfiguration:
    """What ``app.config`` says about a set; ``defaults`` holds ``dest`` and ``url`` for all sets.

    RuntimeError where no folder is named for it, SettingError with a sentence for a value that cannot be used.
    """
    prefix = f"UPLOADED_{uset.name.upper()}_"
    defaults = defaults or {}
    destination: Any = app.config.get(f"{prefix}DEST")
    where = f"{prefix}DEST"
    base_url = _url(f"{prefix}URL", app.config.get(f"{prefix}URL"))
    if destination is None and uset.default_dest is not None:
        destination, where = (
            uset.default_dest(app),
            f"What default_dest of the upload set {uset.name!r} returns",
        )
    if destination is None:
        default = defaults.get("dest")
        if default is None:
            raise RuntimeError(
                f"no destination for set {uset.name}: set {prefix}DEST or UPLOADS_DEFAULT_DEST"
            )
        destination, where = os.path.join(parse_folder("UPLOADS_DEFAULT_DEST", default), uset.name), ""
        default_url = _url("UPLOADS_DEFAULT_URL", defaults.get("url"))
        if base_url is None and default_url is not None:
            base_url = f"{addslash(default_url)}{uset.name}/"
    configuration = UploadConfiguration(
        parse_folder(where, destination),
        base_url,
        extensions_at(f"{prefix}ALLOW", app.config),
        extensions_at(f"{prefix}DENY", app.config),
    )
    configuration.durable = parse_flag("UPLOADS_DURABLE", app.config.get("UPLOADS_DURABLE", True))
    limit = app.config.get(f"{prefix}MAX_FILE_SIZE")
    if limit not in (None, ""):
        configuration.max_file_size = parse_size(f"{prefix}MAX_FILE_SIZE", limit)
    return configuration


def _url(setting: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise SettingError(f"{setting} must be a URL such as 'https://example.com/photos/'; it is {value!r}.")
    return value


def configure_uploads(app: Flask, upload_sets: UploadSet | Iterable[UploadSet]) -> None:
    """Read the configuration of these sets into ``app.upload_set_config``; call it as often as you like.

    With ``UPLOADS_AUTOSERVE`` the sets without a URL are served at ``/_uploads/<set>/<file>``. RuntimeError and
    SettingError as in :func:`config_for_set`; then nothing was changed.
    """
    if not isinstance(app, Flask):
        raise SettingError(
            f"configure_uploads takes the Flask app first, configure_uploads(app, photos); it got {app!r}."
        )
    given: Any = upload_sets
    several = isinstance(given, Iterable) and not isinstance(given, str)
    sets: tuple[Any, ...] = tuple(given) if several else (given,)
    for upload_set in sets:
        if not isinstance(upload_set, UploadSet):
            raise SettingError(
                f"configure_uploads takes the UploadSet of dropzone_app.reuploaded; it got {upload_set!r}."
            )
    defaults = {"dest": app.config.get("UPLOADS_DEFAULT_DEST"), "url": app.config.get("UPLOADS_DEFAULT_URL")}
    autoserve = parse_flag("UPLOADS_AUTOSERVE", app.config.get("UPLOADS_AUTOSERVE", False))
    uploads.check_option_keys(app.config, [upload_set.name for upload_set in sets])
    found = {upload_set.name: config_for_set(upload_set, app, defaults) for upload_set in sets}
    configured = {**getattr(app, "upload_set_config", {}), **found}
    for config in found.values():
        # Where files cannot be staged without a name, a killed process leaves one, under a name of ours.
        with contextlib.suppress(OSError):
            LocalStorage(config.destination, shared=True).clear_left_overs()
    app.upload_set_config = configured  # type: ignore[attr-defined]
    served = any(config.base_url is None for config in configured.values())
    if autoserve and served and _blueprint.name not in app.blueprints:
        app.register_blueprint(_blueprint)


_blueprint = Blueprint("_uploads", __name__, url_prefix="/_uploads")


@_blueprint.route("/<setname>/<path:filename>")
def uploaded_file(setname: str, filename: str) -> Response:
    """A saved file of a set that has no URL of its own."""
    config: UploadConfiguration | None = current_app.upload_set_config.get(setname)  # type: ignore[attr-defined]
    if config is None or config.base_url is not None or any(s.startswith(".") for s in filename.split("/")):
        abort(404)
    response = send_from_directory(config.destination, filename)
    path = os.path.join(config.destination, filename)
    if kind_of(extension_of(filename)).inert and not _is_inert(path, os.stat(path).st_mtime_ns):
        response.headers["Content-Disposition"] = "attachment"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if re.search("html|xml", response.mimetype or ""):
        # What people uploaded may be shown, and runs no script as one of our own pages.
        response.headers["Content-Security-Policy"] = "sandbox"
    return response


@lru_cache(1024)
def _is_inert(path: str, changed: int) -> bool:
    """Whether nothing in a file of a kind that may hold a script acts; ``changed``: when it was written."""
    inert = kind_of(extension_of(path)).inert
    with open(path, "rb") as file:
        return inert is not None and inert(file)


class TestingFileStorage(FileStorage):
    """An upload for tests of your own: saving it writes nothing and sets ``saved`` to the path."""

    # Its name begins like a test's.
    __test__ = False

    def __init__(
        self,
        stream: BinaryIO | None = None,
        filename: str | None = None,
        name: str | None = None,
        content_type: str = "application/octet-stream",
        content_length: int = -1,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(
            stream,
            filename,
            name=name,
            content_type=content_type,
            content_length=content_length,
            headers=headers,
        )
        self.saved: str | None = None

    def save(self, dst: Any, buffer_size: int = 16384) -> None:
        """Remember ``dst``. RuntimeError where it is no string."""
        if not isinstance(dst, str):
            raise RuntimeError(f"dst has to be a string; it is {dst!r}.")
        self.saved = dst
