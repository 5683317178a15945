"""What every storage promises that takes files in chunks, wherever it keeps them until they are whole.

A test module makes a storage's own rows by subclassing: it defines the fixture ``storage``.
"""

import contextlib
import hashlib
import os
import random
import threading
from collections.abc import Iterator, Sequence

import pytest
from contract_storage import content_of

from dropzone_app.storage import Chunks, ChunkStorage, Damaged
from dropzone_app.storage.parts import SHORTEST

Row = tuple[int, int, str]

#: Bytes of a chunk, and of the file: shorter than a store takes parts, and longer, with a last one that is short.
FILES = [(1000, 2500), (SHORTEST, 2 * SHORTEST + 1000), (SHORTEST // 2, 2 * SHORTEST + 1)]


def write(chunks: Chunks, handle: str, offset: int, content: bytes, before: str = "") -> Row:
    """Have a chunk kept, as it comes from a client; what counts from then on."""
    with contextlib.closing(chunks.write(handle, offset, before)) as writer:
        for at in range(0, len(content), 1 << 20):
            writer.write(content[at : at + (1 << 20)])
        return offset, offset + len(content), writer.keep()


def begun(
    chunks: Chunks, content: bytes, chunk: int, order: Sequence[int] | None = None
) -> tuple[str, list[Row]]:
    """A file of which all chunks have come."""
    handle = chunks.begin(len(content))
    starts = range(0, len(content), chunk)
    rows = [
        write(chunks, handle, starts[index], content[starts[index] : starts[index] + chunk])
        for index in order or range(len(starts))
    ]
    return handle, sorted(rows)


def read(chunks: Chunks, handle: str, rows: list[Row]) -> bytes:
    """What the file is, as whoever commits it reads it."""
    with contextlib.closing(chunks.join(handle, rows)) as joined:
        return b"".join(joined.read_through(rows))


def commit(storage: ChunkStorage, handle: str, rows: list[Row], key: str) -> str:
    """Commit a file, and remove what was staged of it; its key."""
    with contextlib.closing(storage.chunks.join(handle, rows)) as joined:
        content = b"".join(joined.read_through(rows))
        assert joined.size == len(content)
        assert joined.sha256 == hashlib.sha256(content).hexdigest()
        with joined.open() as file:
            assert file.read() == content
        key = storage.commit(joined, storage.unused_key(key, joined.size))
        storage.sync([(joined, key)])
    storage.chunks.drop(handle)
    return key


class ChunksContract:
    """The tests. The store may hold files of others: only one's own are looked at."""

    @pytest.fixture
    def chunks(self, storage: ChunkStorage) -> Iterator[Chunks]:
        yield storage.chunks
        for handle in list(storage.chunks.handles()):
            storage.chunks.drop(handle)

    @pytest.mark.parametrize(("chunk", "size"), FILES)
    def test_chunks_in_any_order_are_the_file(
        self, storage: ChunkStorage, chunks: Chunks, chunk: int, size: int
    ) -> None:
        content = os.urandom(size)
        order = list(range(-(-size // chunk)))
        random.Random(7).shuffle(order)
        handle, rows = begun(chunks, content, chunk, order)
        key = commit(storage, handle, rows, "a.bin")
        assert content_of(storage, key) == content
        assert list(chunks.handles()) == []

    def test_bytes_that_come_in_order_in_pieces_of_any_length_are_the_file(
        self, storage: ChunkStorage, chunks: Chunks
    ) -> None:
        lengths = [100, 1, SHORTEST - 1, SHORTEST + 7, 3, 5, SHORTEST, 40]
        content = os.urandom(sum(lengths))
        handle, at, mark = chunks.begin(len(content)), 0, ""
        for length in lengths:
            with contextlib.closing(chunks.write(handle, at, mark)) as writer:
                if at < 200:
                    assert writer.beginning(at) == content[:at]
                writer.write(content[at : at + length])
                mark = writer.keep()
            at += length
        key = commit(storage, handle, [(0, at, mark)], "a.bin")
        assert content_of(storage, key) == content

    def test_what_is_kept_on_the_way_is_there_when_the_rest_was_cut_off(self, chunks: Chunks) -> None:
        content = os.urandom(2 * SHORTEST)
        handle = chunks.begin(len(content))
        with contextlib.closing(chunks.write(handle, 0)) as writer:
            writer.write(content[: SHORTEST + 9])
            kept = writer.keep()
            writer.write(b"never kept")
        row = write(chunks, handle, SHORTEST + 9, content[SHORTEST + 9 :], kept)
        assert read(chunks, handle, [(0, len(content), row[2])]) == content

    def test_an_empty_file_is_one_empty_chunk(self, chunks: Chunks) -> None:
        handle, rows = begun(chunks, b"", 1000, [])
        rows = [write(chunks, handle, 0, b"")]
        assert read(chunks, handle, rows) == b""

    @pytest.mark.parametrize("chunk", [1000, SHORTEST])
    def test_the_same_chunk_by_two_at_once_is_there_once(self, chunks: Chunks, chunk: int) -> None:
        content = os.urandom(chunk + 1)
        handle, rows = begun(chunks, content, chunk)
        threads = [
            threading.Thread(target=write, args=(chunks, handle, 0, content[:chunk])) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read(chunks, handle, rows) == content

    @pytest.mark.parametrize("chunk", [1000, SHORTEST])
    def test_who_writes_late_changes_nothing(self, chunks: Chunks, chunk: int) -> None:
        content = os.urandom(2 * chunk)
        handle, rows = begun(chunks, content, chunk)
        late = chunks.write(handle, chunk)
        with contextlib.closing(chunks.join(handle, rows)) as joined, contextlib.closing(late):
            with contextlib.suppress(FileNotFoundError):
                late.write(b"?" * chunk)
                late.keep()
            assert b"".join(joined.read_through(rows)) == content

    def test_after_a_failed_commit_the_last_chunk_is_taken_again(
        self, storage: ChunkStorage, chunks: Chunks
    ) -> None:
        content = os.urandom(2500)
        handle, rows = begun(chunks, content, 1000)
        for _ in range(2):
            chunks.join(handle, rows).close()
            chunks.reopen(handle)
            assert write(chunks, handle, 2000, content[2000:]) == rows[-1]
        assert content_of(storage, commit(storage, handle, rows, "a.bin")) == content

    def test_bytes_in_order_go_on_after_a_failed_commit(self, chunks: Chunks) -> None:
        handle = chunks.begin(9)
        first = write(chunks, handle, 0, b"first")
        last = write(chunks, handle, 5, b"last", first[2])
        chunks.join(handle, [(0, 9, last[2])]).close()
        chunks.reopen(handle)
        with contextlib.closing(chunks.write(handle, 5, first[2])) as writer:
            assert writer.beginning(5) == b"first"
        assert write(chunks, handle, 5, b"last", first[2]) == last
        assert read(chunks, handle, [(0, 9, last[2])]) == b"firstlast"

    @pytest.mark.parametrize("chunk", [1000, SHORTEST])
    def test_what_is_not_what_had_arrived_is_damaged(self, chunks: Chunks, chunk: int) -> None:
        content = os.urandom(2 * chunk)
        handle, rows = begun(chunks, content, chunk)
        write(chunks, handle, 0, b"?" * chunk)
        first = (*rows[0][:2], "00000000" if rows[0][2] != "00000000" else "00000001")
        with pytest.raises(Damaged):
            read(chunks, handle, [first, rows[1]])

    def test_what_is_dropped_is_gone(self, chunks: Chunks) -> None:
        handle, rows = begun(chunks, b"x" * 2000, 1000)
        other = chunks.begin(5)
        assert set(chunks.handles()) == {handle, other}
        for _ in range(2):
            chunks.drop(handle)
            assert list(chunks.handles()) == [other]
        with pytest.raises(FileNotFoundError):
            chunks.write(handle, 1000)
        with pytest.raises(FileNotFoundError):
            chunks.join(handle, rows)

    def test_only_what_nobody_has_written_for_long_is_abandoned(self, chunks: Chunks) -> None:
        handle, rows = begun(chunks, b"x" * 2000, 1000)
        for _ in range(2):
            assert chunks.abandoned(handle, 3600) is None
            assert (chunks.abandoned(handle, 0) or 0) >= 2000
            # Joined, and its process gone.
            with contextlib.suppress(FileNotFoundError):
                chunks.join(handle, rows).close()
        chunks.drop(handle)
        assert chunks.abandoned(handle, 3600) == 0
