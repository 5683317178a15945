"""``flask uploads doctor``: what people get wrong about a server, each with its mend. It changes nothing that lasts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from .config import PARALLEL_REQUESTS, Size, span
from .storage import Direct, Storage
from .uploads import Site

OK, WARNING, PROBLEM = "ok", "warning", "problem"

#: Bytes of a key that nobody guesses: 128 bits in hexadecimal are more.
_KEY = 16
#: What stands in keys that were copied from somewhere.
_EXAMPLES = ("change", "secret", "example", "password", "random string")
#: Bytes a second that a bad line still has.
_SLOW_LINE = 20_000
#: Seconds that two clocks may differ.
_SKEW = 60
#: Seconds to wait for the server behind a URL.
_PATIENCE = 15
#: File systems of other machines: locks and O_TMPFILE are not what they are on a disk.
_FAR = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"}
#: File systems that a restart empties.
_FLEETING = {"tmpfs", "ramfs"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``level`` is ``ok``, ``warning`` or ``problem``; ``mend`` what to do."""

    level: str
    check: str
    says: str
    mend: str = ""


def _problem(says: str, mend: str) -> Finding:
    return Finding(PROBLEM, "", says, mend)


def _warning(says: str, mend: str) -> Finding:
    return Finding(WARNING, "", says, mend)


def examine(
    site: Site,
    secret_key: str | bytes,
    url: str | None = None,
    *,
    rate: tuple[int, int] | None = None,
) -> Iterator[Finding]:
    """Look at everything, one after the other; ``url``: where people reach the server, to ask what is on the way;
    ``rate``: so many requests an address may send in so many seconds."""
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("secret key", lambda: _secret_key(site, secret_key)),
        ("limits", lambda: _limits(site, rate)),
        ("database", lambda: _database(site)),
    ]
    for name, storage in site.storages.items():
        looks.append((f"storage of {name}" if name else "storage", lambda kept=storage: _storage(site, kept)))  # type: ignore[misc]
    for name, store in site.direct.items():
        looks.append((f"store of {name}", lambda store=store: _cors(store, url)))  # type: ignore[misc]
    if url:
        looks.append(("proxy", lambda: _proxy(site, url)))
    for check, look in looks:
        found = [replace(one, check=check) for one in look()]
        yield from found or [Finding(OK, check, "nothing is wrong with it.")]


def _secret_key(site: Site, key: str | bytes) -> Iterator[Finding]:
    said = (key if isinstance(key, str) else key.decode("latin-1")).lower()
    if len(said) < _KEY or len(set(said)) < _KEY // 2 or any(word in said for word in _EXAMPLES):
        yield _problem(
            "SECRET_KEY can be guessed, and with it anybody's session made.",
            "Set it to what `python -c 'import secrets; print(secrets.token_hex(32))'` prints.",
        )
    kept = Path("instance", "secret_key")
    if not site.settings.database.startswith("sqlite") and kept.is_file() and kept.read_text() == key:
        yield _warning(
            "SECRET_KEY is not set, and this machine made one of its own: another one refuses its sessions and tokens.",
            "Set SECRET_KEY to the same on all machines that serve; one alone may keep its own.",
        )


def _limits(site: Site, rate: tuple[int, int] | None) -> Iterator[Finding]:
    settings = site.settings
    for name, rules in site.rules.items():
        if rules.max_file_size > settings.max_content_length:
            yield _warning(
                f"The set {name!r} takes files of {rules.max_file_size}, and one request "
                f"{settings.max_content_length}: only a client that sends chunks gets a larger file in.",
                "Raise MAX_CONTENT_LENGTH or lower the limit of the set.",
            )
        if rules.max_total_size is not None and rules.max_total_size > settings.max_content_length:
            yield _warning(
                f"The files of a request to {name!r} may have {rules.max_total_size} together, and the request itself "
                f"{settings.max_content_length}.",
                "Raise MAX_CONTENT_LENGTH or lower the limit of the set.",
            )
        yield from _quotas(site, name)
    if settings.concurrent is not None and settings.concurrent < PARALLEL_REQUESTS:
        yield _warning(
            f"One owner may have {settings.concurrent} uploads under way, and our page keeps {PARALLEL_REQUESTS}: "
            "it is held up all the time.",
            f"Raise UPLOADS_CONCURRENT to {PARALLEL_REQUESTS}, and to as many more as they have pages open.",
        )
    largest = max(rules.max_file_size for rules in site.rules.values())
    requests = -(-largest // settings.chunk_size)
    if rate is not None and rate[0] < requests:
        yield _warning(
            f"One file of {Size(largest)} comes in {requests:,} chunks, and an address may send {rate[0]:,} "
            f"requests in {span(rate[1])}.",
            "Raise UPLOADS_RATE_LIMIT or UPLOADS_CHUNK_SIZE.",
        )
    if settings.min_rate is None:
        yield _warning(
            "A client may take all the time it likes (UPLOADS_MIN_RATE is none): a few dozen that send next to nothing "
            "hold all threads of a worker.",
            "Take UPLOADS_MIN_RATE=1000, or a proxy that buffers.",
        )
    elif settings.min_rate > _SLOW_LINE:
        yield _warning(
            f"Who sends less than {settings.min_rate} a second is given up, and a phone far from its mast does.",
            "Lower UPLOADS_MIN_RATE.",
        )
    if settings.sweep_age < 3600:
        yield _warning(
            f"Unfinished uploads are removed after {settings.sweep_age} seconds; who loses the network for longer "
            "begins anew.",
            "Raise UPLOADS_SWEEP_AGE.",
        )


def _quotas(site: Site, name: str) -> Iterator[Finding]:
    """What one owner may have or send, and that one file alone would be more."""
    settings, here, largest = site.settings, site.sets[name], site.rules[name].max_file_size
    of_all, of_set = settings.quota_window, here.quota_window
    for limit, setting in (
        (settings.quota, "UPLOADS_QUOTA"),
        (of_all and of_all.bytes, "UPLOADS_QUOTA_WINDOW"),
        (here.quota, "quota of the set"),
        (of_set and of_set.bytes, "quota_window of the set"),
    ):
        if limit is not None and largest > limit:
            yield _warning(
                f"The set {name!r} takes files of {largest}, and nobody may have more than {limit} ({setting}).",
                f"Raise {setting} or lower max_file_size.",
            )
    if settings.quota and here.quota and here.quota > settings.quota:
        yield _warning(
            f"In the set {name!r} one owner may have {here.quota}, and in all sets together {settings.quota}.",
            "Raise UPLOADS_QUOTA or lower the quota of the set.",
        )


def _database(site: Site) -> Iterator[Finding]:
    try:
        site.records.check()
        off = site.records.unsafe_setting()
    except SQLAlchemyError as error:
        yield _problem(
            f"It does not answer ({type(error).__name__}).",
            "Start it, or correct UPLOADS_DATABASE.",
        )
        return
    if off:
        yield _problem(
            f"{off} is off: what people were told is stored may be gone after a power cut.",
            f"Set {off} = on in postgresql.conf.",
        )
    path = site.records.database_file
    if path is None:
        return
    if path.stat().st_mode & 0o007 and path.parent.stat().st_mode & 0o001:
        yield _problem(f"Everybody on this machine may open {path}.", f"chmod 600 {path}")
    kind = _file_system(path)
    if kind in _FAR:
        yield _problem(
            f"{path} lies on another machine ({kind}), where SQLite's locks do not hold.",
            "Put it on a disk of this machine, or take PostgreSQL.",
        )
    elif kind in _FLEETING:
        yield _problem(f"{path} lies in memory ({kind}).", "Put it on a disk.")


def _storage(site: Site, storage: Storage) -> Iterator[Finding]:
    before = time.time()
    try:
        storage.check()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        yield _problem(f"{storage} takes no file: {reason}.", "Correct its URL, credentials or permissions.")
        return
    root = getattr(storage, "root", None)
    folder = Path(root) if root is not None else Path(site.settings.staging)
    staging = folder / ".staging"
    if root is not None and staging.exists() and staging.stat().st_dev != folder.stat().st_dev:
        yield _problem(
            f"{staging} lies in another file system than {folder}: no file can be linked into place.",
            "Take the mount away; files are staged where they will stay.",
        )
    kind = _file_system(folder)
    if kind in _FLEETING:
        yield Finding(
            PROBLEM if root else WARNING, "", f"{folder} lies in memory ({kind}).", "Put it on a disk."
        )
    largest = max(rules.max_file_size for rules in site.rules.values())
    disk, least = shutil.disk_usage(folder), site.settings.min_free or Size(0)
    free = Size(max(disk.free - least, 0))
    if not free:
        yield _problem(
            f"{folder} has {Size(disk.free)} free of {Size(disk.total)}, and {least} are to stay so: no file is taken.",
            "Make room, or lower UPLOADS_MIN_FREE.",
        )
    elif free < largest:
        kept = f" beside the {least} that are to stay free" if least else ""
        yield _warning(
            f"{folder} has room for {free}{kept}, and one file may have {largest}.",
            "Make room, or lower UPLOADS_MAX_FILE_SIZE.",
        )
    skew = _skew(folder, before)
    if skew > _SKEW:
        yield _warning(
            f"The clock of {folder} is {skew:.0f} seconds off: what is still used may look abandoned.",
            "Let both machines keep their time by NTP.",
        )


def _cors(store: Direct, url: str | None) -> Iterator[Finding]:
    """Whether browsers may send files to a store from a page of ours."""
    page = urlsplit(url or "")
    origin = f"{page.scheme}://{page.netloc}" if url else "https://files.example.org"
    try:
        allowed = store.origins()
    except OSError as error:
        yield _warning(
            f"{store.origin} does not tell from which pages browsers may send files there: {error.strerror}.",
            "Let these credentials read the bucket's CORS configuration, or look at it yourself.",
        )
        return
    if not allowed or (url and not {"*", origin} & {*allowed}):
        yield _problem(
            f"{store.origin} lets no browser send files there from {origin if url else 'any page'}.",
            f"flask uploads cors {origin}",
        )


def _skew(folder: Path, before: float) -> float:
    """How far the clock that dates new files there is from ours."""
    place = folder / ".staging" if (folder / ".staging").is_dir() else folder
    probe = place / f"clock.{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError:
        return 0
    try:
        dated = os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        probe.unlink()
    return max(before - dated, dated - time.time(), 0)


def _file_system(path: Path) -> str:
    """What kind of file system holds ``path``, as mount(8) names it; "" where the system does not tell."""
    found, kind = "", ""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, mounted, name, *_ = line.split(" ")
        mounted = mounted.replace("\\040", " ")
        if path.resolve().is_relative_to(mounted) and len(mounted) >= len(found):
            found, kind = mounted, name
    return kind


def _proxy(site: Site, url: str) -> Iterator[Finding]:
    """Announce the largest body there may be, and send none of it: ours refuses the token before it asks for more."""
    limit = site.settings.max_content_length
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield _problem(f"{url!r} is no address of a server.", "Give it as in https://files.example.org")
        return
    try:
        answer = _announce(url, limit)
    except TimeoutError:
        yield _warning(
            f"What is between {url} and the server waits for all of an upload before it hands any of it on: "
            "large files are written twice, and a refusal comes late.",
            "nginx: proxy_request_buffering off; see deploy/nginx.conf.",
        )
        return
    except (OSError, HTTPException) as error:
        yield _problem(
            f"{url} does not answer: {error or type(error).__name__}.",
            "Start it, or correct the URL.",
        )
        return
    code = answer.getheader("Upload-Error", "")
    if answer.status == 413:
        yield _problem(
            f"What is between {url} and the server refuses a body of {limit}, and the server would take it.",
            "Raise its limit (nginx: client_max_body_size), or lower MAX_CONTENT_LENGTH.",
        )
    elif not code.startswith("csrf_") and code != "signed_out":
        yield _problem(
            f"{url} answers {answer.status}: no uploads are taken there.",
            "Correct the URL, with the prefix under which uploads are mounted.",
        )
    told = answer.getheader("Date")
    skew = abs((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()) if told else 0
    if skew > _SKEW:
        yield _warning(f"The clock of {url} is {skew:.0f} seconds off.", "Let it keep its time by NTP.")


def _announce(url: str, length: int) -> HTTPResponse:
    """The answer to an upload of ``length`` bytes of which none is sent. TimeoutError: it waits for them."""
    parts = urlsplit(url)
    assert parts.hostname
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname, parts.port, timeout=_PATIENCE)
    try:
        connection.putrequest("POST", f"{parts.path.rstrip('/')}/upload")
        connection.putheader("Content-Type", "multipart/form-data; boundary=doctor")
        connection.putheader("Content-Length", f"{length:d}")
        connection.putheader("X-CSRFToken", "doctor")
        connection.putheader("X-Requested-With", "XMLHttpRequest")
        connection.endheaders()
        return connection.getresponse()
    finally:
        connection.close()
