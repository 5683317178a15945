"""Files that their clients send to a bucket of S3 themselves: every part by an address that was signed for it alone.

Each is a multipart upload as those of :class:`StoredChunks` are, under a handle of theirs: there it is dropped and
swept. An address is good for one part, so many bytes, one Content-Type and a few minutes (AWS, Signature Version 4,
authenticating by query parameters), and leads to no key that a file of ours has: what is there at the end is joined,
read and checked first, and then copied inside the store.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .chunks import Damaged
from .keys import DIRECT
from .parts import SHORTEST, StoredChunks, StoredFile, unit_of

if TYPE_CHECKING:
    from .s3 import S3Storage

#: What each part is sent as; signed with it.
CONTENT_TYPE = "application/octet-stream"
#: Seconds for which a browser need not ask again what it may send there.
_PREFLIGHT_AGE = 3600


class SignedParts:
    """The files of an :class:`S3Storage` that come from their clients."""

    def __init__(self, storage: S3Storage, chunks: StoredChunks, *, most: int) -> None:
        """``most``: parts of one file."""
        self._storage = storage
        self._chunks = chunks
        self._most = most

    def part_size(self, size: int, wanted: int) -> int:
        return max(wanted, SHORTEST, -(-size // self._most))

    def begin(self, part_size: int) -> str:
        handle = f"{secrets.token_hex(16)}-{part_size:x}{DIRECT}"
        self._storage.ask("create_multipart_upload", self._chunks.name(handle))
        return handle

    def held(self, handle: str, size: int) -> list[tuple[int, int]]:
        name = self._chunks.name(handle)
        if (id := self._chunks.upload(handle)) is not None:
            return [(start, end) for start, end, _ in self._parts(handle, id, size)]
        # It was whole, and its commit has failed.
        found = int(self._storage.ask("head_object", name)["ContentLength"])
        return [(0, found)] if found == size else []

    def _parts(self, handle: str, id: str, size: int) -> list[tuple[int, int, dict[str, object]]]:
        """(start, end, what completes the upload with it) of the parts that are as long as they should be, in order."""
        unit, found = unit_of(handle), []
        for part in self._chunks.parts(self._chunks.name(handle), id):
            start = (part["PartNumber"] - 1) * unit
            end = min(start + unit, size)
            if part["Size"] == end - start:
                found.append((start, end, {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}))
        return found

    def sign(self, handle: str, ranges: Sequence[tuple[int, int]], expires: int) -> list[str]:
        if (id := self._chunks.upload(handle)) is None:
            raise FileNotFoundError(errno.ENOENT, "the file is gone")
        unit, name = unit_of(handle), self._chunks.name(handle)
        return [
            self._storage.presigned(
                "upload_part",
                expires,
                Key=name,
                UploadId=id,
                PartNumber=start // unit + 1,
                ContentLength=end - start,
            )
            for start, end in ranges
        ]

    def join(self, handle: str, size: int) -> StoredFile:
        name = self._chunks.name(handle)
        if (id := self._chunks.upload(handle)) is not None:
            parts = self._parts(handle, id, size)
            if sum(end - start for start, end, _ in parts) != size:
                raise Damaged
            whole = {"Parts": [part for _, _, part in parts]}
            # Another one where the answer was lost, and the upload is complete.
            with contextlib.suppress(FileNotFoundError):
                self._storage.ask("complete_multipart_upload", name, UploadId=id, MultipartUpload=whole)
        joined = self._chunks.joined(handle)
        if joined.size != size:
            joined.close()
            raise Damaged
        return joined

    @cached_property
    def origin(self) -> str:
        url = urlsplit(self._storage.presigned("head_bucket", 60))
        return f"{url.scheme}://{url.netloc}"

    def origins(self) -> list[str]:
        return [
            origin
            for rule in self._rules()
            if "PUT" in rule["AllowedMethods"]
            and {"*", "content-type"} & {header.lower() for header in rule.get("AllowedHeaders", [])}
            for origin in rule["AllowedOrigins"]
        ]

    def allow(self, origins: Sequence[str]) -> None:
        ours = {
            "ID": f"dropzone_app {self._storage}"[:255],
            "AllowedOrigins": list(origins),
            "AllowedMethods": ["PUT"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": _PREFLIGHT_AGE,
        }
        others = [rule for rule in self._rules() if rule.get("ID") != ours["ID"]]
        self._storage.ask_bucket("put_bucket_cors", CORSConfiguration={"CORSRules": [*others, ours]})

    def _rules(self) -> list[dict[str, list[str]]]:
        try:
            rules: list[dict[str, list[str]]] = self._storage.ask_bucket("get_bucket_cors")["CORSRules"]
        except FileNotFoundError:
            return []
        return rules
