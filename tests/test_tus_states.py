"""Whatever two clients do to one upload by the tus protocol, its file is what counted, or there is none."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from core import make_app, site_of
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dropzone_app import Rejected, tus
from dropzone_app.records.unfinished import Taken, UnfinishedUploads
from dropzone_app.storage import ChunkStorage
from dropzone_app.tus import TusUpload, read_announced
from dropzone_app.uploads import Site

LENGTH = 3000
#: Two files of one name and size: what an honest client sends, and what it should not.
VERSIONS = {name: hashlib.shake_128(name.encode()).digest(LENGTH) for name in "ab"}

requests = st.deferred(
    lambda: st.lists(
        st.fixed_dictionaries(
            {
                "version": st.sampled_from("aaab"),
                "worker": st.integers(0, 1),
                # Where it begins, beside where it should.
                "off": st.sampled_from([0, 0, 0, 0, -1, 7]),
                "pieces": st.lists(st.integers(1, 900), max_size=4),
                # What happens before which of its pieces.
                "between": st.none() | st.tuples(st.integers(0, 3), st.shared(inner, key="inner")),
            }
        ),
        max_size=6,
    )
)
inner = st.builds(
    lambda version, worker, pieces: [
        {"version": version, "worker": worker, "off": 0, "pieces": pieces, "between": None}
    ],
    st.sampled_from("aab"),
    st.integers(0, 1),
    st.lists(st.integers(1, 900), max_size=3),
)


class Story:
    """What happened to one upload: who brought the bytes that count."""

    def __init__(self, sites: list[Site]) -> None:
        self.sites = sites
        told = read_announced(LENGTH, "filename YS5iaW4=")
        site = sites[0]
        self.id = TusUpload.create(site, site.upload_set(None), "me", told).id
        self.counted = bytearray(LENGTH)
        self.senders: list[str] = []
        self.sent: set[str] = set()
        self.told: set[str] = set()
        self.refusal: str | None = None

    def tell(self, told: list[dict[str, object]]) -> None:
        for request in told:
            self.send(**request)  # type: ignore[arg-type]

    def send(self, version: str, worker: int, off: int, pieces: list[int], between: object) -> None:
        try:
            upload = TusUpload.find(self.sites[worker], self.id)
            offset = max(0, upload.offset + off)
            self.senders.append(version)
            self.sent.add(version)
            try:
                verdict = upload.append(offset, self.pieces(version, offset, pieces, between))
            finally:
                self.senders.pop()
        except Rejected as rejected:
            self.told.add(rejected.code)
            return
        if verdict and verdict.rejected:
            assert verdict.rejected.code == "damaged"
            self.refusal = verdict.rejected.code

    def pieces(self, version: str, at: int, sizes: list[int], between: object) -> Iterator[bytes]:
        for number, size in enumerate(sizes):
            if isinstance(between, tuple) and between[0] == number:
                self.tell(between[1])
            yield VERSIONS[version][at : at + size]
            at = min(at + size, LENGTH)

    def note(self, start: int, end: int) -> None:
        self.counted[start:end] = VERSIONS[self.senders[-1]][start:end]


@pytest.fixture
def sites(database: str, tmp_path: Path) -> list[Site]:
    return [site_of(make_app(tmp_path, UPLOADS_TYPES="bin", UPLOADS_DURABLE=False)) for _ in range(2)]


@settings(
    max_examples=max(1, settings.default.max_examples // 4),
    # Two sites for all of them.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(requests)
def test_a_file_is_what_counted_or_there_is_none(sites: list[Site], told: list[dict[str, object]]) -> None:
    extend = UnfinishedUploads.extend
    story = Story(sites)

    def noting(self: UnfinishedUploads, id: str, start: int, end: int, mark: str) -> Taken:
        taken = extend(self, id, start, end, mark)
        if taken in {Taken.KEPT, Taken.LAST}:
            story.note(start, end)
        return taken

    with patch.object(tus, "KEPT_BYTES", 500), patch.object(UnfinishedUploads, "extend", noting):
        story.tell(told)
        # An honest client brings what is missing.
        story.send("a", 0, 0, [LENGTH], None)
    assert story.told <= {"tus_offset", "tus_gone", "uuid_busy", "damaged"}
    storage = sites[0].storage
    assert isinstance(storage, ChunkStorage)
    assert list(storage.chunks.handles()) == []
    record = sites[1].records.of_uuids("me", [story.id]).get(story.id)
    event(f"refused: {story.refusal}")
    if story.refusal:
        assert "b" in story.sent and record is None
    else:
        assert record
        with storage.open(record.key) as file:
            content = file.read()
        assert content == bytes(story.counted)
        assert content == VERSIONS["a"] or "b" in story.sent
