"""Whatever comes, in whatever order, through two workers and over restarts: a file is what was sent, or refused."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from core import forget_all, make_app, site_of
from flask import Flask
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dropzone_app.batch import Verdict
from dropzone_app.chunked import ChunkedUploads, ReceivedChunk
from dropzone_app.errors import Rejected
from dropzone_app.intake.chunks import Chunk
from dropzone_app.state import states
from dropzone_app.sweep import sweep

SIZE, LAST = 10, 4
LENGTH = SIZE * 2 + LAST
COUNT = 3

# Mostly one file, so that it is completed now and then.
owners = st.sampled_from(["me", "me", "me", "you"])
uuids = st.sampled_from(["u", "u", "u", "v"])
indexes = st.integers(0, COUNT - 1)
# Mostly the file itself; sometimes another version of it.
versions = st.sampled_from("AAAAAB")
workers = st.integers(0, 1)


def version_of(owner: str, uuid: str, version: str) -> bytes:
    return f"{owner}{uuid}{version}".encode().ljust(LENGTH, version.encode())[:LENGTH]


@dataclass
class Model:
    """What is known of one uuid of one owner."""

    held: dict[int, bytes] = field(default_factory=dict)
    #: Whether two versions of the same bytes were ever on their way.
    lied: bool = False
    sent: dict[int, set[str]] = field(default_factory=dict)
    refused: str | None = None
    stored: str | None = None


@dataclass
class Open:
    """A request that has sent half of its chunk."""

    name: tuple[str, str]
    index: int
    rest: bytes
    incoming: ReceivedChunk
    uploads: ChunkedUploads
    model: Model


def holds_file(request: Open) -> bool:
    """Whether this process has the staged file open for the request."""
    writer = request.incoming._writer
    return writer is not None and writer._fd >= 0


class Chunks(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chunks-"))
        self.apps = [self.make(), self.make()]
        self.models: dict[tuple[str, str], Model] = {}
        self.opened: list[Open] = []

    def make(self) -> Flask:
        return make_app(self.folder, UPLOADS_TYPES="bin", UPLOADS_DURABLE=False)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for request in self.opened:
                request.incoming.discard()
            forget_all(site_of(self.apps[0]))
            for app in self.apps:
                site_of(app).records.close()
            shutil.rmtree(self.folder)

    # ---- what may come

    @rule(owner=owners, uuid=uuids, index=indexes, version=versions, worker=workers)
    def send(self, owner: str, uuid: str, index: int, version: str, worker: int) -> None:
        """A whole chunk, in one go."""
        self.end_chunk(self.begin_chunk(owner, uuid, index, version, worker))

    @rule(owner=owners, uuid=uuids, worker=workers)
    def send_all(self, owner: str, uuid: str, worker: int) -> None:
        """All that the client has, as it does after it was interrupted."""
        for index in range(COUNT):
            self.send(owner, uuid, index, "A", (worker + index) % 2)

    @rule(owner=owners, uuid=uuids, index=indexes, version=versions, worker=workers)
    def begin(self, owner: str, uuid: str, index: int, version: str, worker: int) -> None:
        """Half of a chunk; the rest comes later, or never."""
        self.opened.append(self.begin_chunk(owner, uuid, index, version, worker))

    @precondition(lambda self: self.opened)
    @rule(which=st.integers(0, 99))
    def go_on(self, which: int) -> None:
        self.end_chunk(self.opened.pop(which % len(self.opened)))

    @precondition(lambda self: self.opened)
    @rule(which=st.integers(0, 99), more=st.booleans())
    def cut(self, which: int, more: bool) -> None:
        """The connection is lost, perhaps after a few more bytes."""
        request = self.opened.pop(which % len(self.opened))
        if more:
            request.incoming.feed(b"#")
            request.model.lied = True
        request.incoming.discard()

    @rule(owner=owners, uuid=uuids, index=indexes, worker=workers, length=st.sampled_from([0, 3, 11, 40]))
    def send_another_length(self, owner: str, uuid: str, index: int, worker: int, length: int) -> None:
        model = self.model(owner, uuid)
        uploads = self.uploads(owner, worker)
        try:
            incoming = uploads.receive(self.chunk(uuid, index), key="file", filename="a.bin")
            incoming.feed(b"!" * length)
            model.lied = True
            verdict = uploads.take(incoming)
        except Rejected as rejected:
            if rejected.code not in {"chunk_length", "upload_gone"}:
                raise
        else:
            # Only what was recorded before is told instead.
            assert verdict and (verdict.repeated or model.refused)
            self.judge(model, owner, uuid, verdict)

    @rule(owner=owners, uuid=uuids, worker=workers)
    def cancel(self, owner: str, uuid: str, worker: int) -> None:
        model = self.model(owner, uuid)
        ChunkedUploads.cancel(site_of(self.apps[worker]), owner, uuid)
        if not model.stored:
            # And stays so, whatever comes late.
            text = Rejected.because("upload_cancelled").text
            self.models[owner, uuid] = Model(lied=True, refused=text)

    @rule(worker=workers)
    def restart(self, worker: int) -> None:
        """Requests of the old process go on, as those of a process do that ends gracefully."""
        site_of(self.apps[worker]).records.close()
        self.apps[worker] = self.make()

    @rule(worker=workers)
    def sweep_all(self, worker: int) -> None:
        """All goes that nobody holds."""
        held = {
            request.name
            for request in self.opened
            if holds_file(request) and request.model is self.models.get(request.name)
        }
        list(sweep(site_of(self.apps[worker]), age=0))
        for name, model in list(self.models.items()):
            if not model.stored and (model.refused or name not in held):
                del self.models[name]

    # ---- what must hold

    @invariant()
    def what_is_told_is_what_was_taken(self) -> None:
        if not hasattr(self, "models"):
            return
        for (owner, uuid), model in self.models.items():
            told = states(site_of(self.apps[0]), owner, [uuid]).get(uuid)
            if model.stored:
                assert told and told.record and told.record.id == model.stored
            elif model.refused:
                assert told and told.rejected and told.rejected.text == model.refused
            elif told:
                assert told.state == "receiving"
                assert told.ranges is not None
                there = {index for index in range(COUNT) if self.covered(told.ranges, index)}
                assert there == model.held.keys()

    @invariant()
    def no_file_is_there_twice_and_none_is_left_over(self) -> None:
        if not hasattr(self, "apps"):
            return
        site = site_of(self.apps[1])
        stored = list(site.records.everything())
        assert len({(record.owner, record.uuid) for record in stored}) == len(stored)
        assert {record.id for record in stored} == {m.stored for m in self.models.values() if m.stored}
        files = [path for path in (self.folder / "uploads").iterdir() if path.is_file()]
        assert len(files) == len(stored)
        receiving = [*site.records.unfinished.of_owner("me", 9), *site.records.unfinished.of_owner("you", 9)]
        staged = {path.name for path in (self.folder / "uploads" / ".staging").iterdir()}
        assert staged == {f"{upload.handle}.chunks" for upload in receiving}

    # ---- how it is done

    def model(self, owner: str, uuid: str) -> Model:
        return self.models.setdefault((owner, uuid), Model())

    def uploads(self, owner: str, worker: int) -> ChunkedUploads:
        site = site_of(self.apps[worker])
        return ChunkedUploads(site, site.upload_set(None), owner)

    @staticmethod
    def chunk(uuid: str, index: int) -> Chunk:
        return Chunk(uuid, LENGTH, SIZE, index * SIZE, min((index + 1) * SIZE, LENGTH))

    @staticmethod
    def covered(ranges: object, index: int) -> bool:
        start, end = index * SIZE, min((index + 1) * SIZE, LENGTH)
        return any(low <= start and end <= high for low, high in ranges)  # type: ignore[attr-defined]

    def begin_chunk(self, owner: str, uuid: str, index: int, version: str, worker: int) -> Open:
        model = self.model(owner, uuid)
        chunk = self.chunk(uuid, index)
        data = version_of(owner, uuid, version)[chunk.start : chunk.end]
        uploads = self.uploads(owner, worker)
        incoming = uploads.receive(chunk, key="file", filename="a.bin")
        incoming.feed(data[: len(data) // 2])
        sent = model.sent.setdefault(index, set())
        sent.add(version)
        model.lied |= len(sent) > 1
        return Open((owner, uuid), index, data, incoming, uploads, model)

    def end_chunk(self, request: Open) -> None:
        (owner, uuid), index, data = request.name, request.index, request.rest
        request.incoming.feed(data[len(data) // 2 :])
        model = self.models.get(request.name)
        try:
            verdict = request.uploads.take(request.incoming)
        except Rejected as rejected:
            # Cancelled, or closed, while it came.
            if rejected.code not in {"upload_gone", "uuid_busy"}:
                raise
            return
        if model is not request.model:
            # Cancelled since: what another upload of this uuid became is told, or nothing.
            assert verdict is None or verdict.repeated
            return
        if verdict is not None:
            model.held[index] = model.held.get(index, data)
            self.judge(model, owner, uuid, verdict)
            return
        # It counts, and so it is the same as what counted before.
        assert model.held.setdefault(index, data) == data
        assert len(model.held) < COUNT
        assert not model.refused and not model.stored

    def judge(self, model: Model, owner: str, uuid: str, verdict: Verdict) -> None:
        if verdict.rejected:
            assert model.lied, "a file that was sent honestly was refused"
            assert not model.stored
            assert model.refused in {None, verdict.rejected.text}
            model.refused = verdict.rejected.text
            event(f"refused: {verdict.rejected.code}")
            return
        assert verdict.record and not model.refused
        assert model.stored in {None, verdict.record.id}
        model.stored = verdict.record.id
        event("stored")
        site = site_of(self.apps[0])
        with site.keeper(verdict.record).open(verdict.record.key) as file:
            content = file.read()
        whole = b"".join(model.held[index] for index in sorted(model.held))
        assert content == whole
        assert len(content) == LENGTH


def test_a_file_is_what_was_sent_or_refused(database: str) -> None:
    # Each example makes two apps, and is a long story; in PostgreSQL one of many round trips.
    examples = max(1, settings.default.max_examples // {"SQLite": 5, "PostgreSQL": 33}[database])
    run_state_machine_as_test(Chunks, settings=settings(max_examples=examples))
