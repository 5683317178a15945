"""What a big part costs the server: bytes written and memory, counted by the kernel (Linux only)."""

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from support import LiveServer, missing

T = TypeVar("T")
MIB = 1 << 20
BOUNDARY = "----boundary-of-a-big-form"


class Content:
    """Bytes as big as wanted that take no room: a random block over and over, its length no power of two,
    so that a piece that is lost, doubled or out of its place changes the digest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._block = os.urandom(16 * MIB + 4093)
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[memoryview]:
        left, block = self.size, memoryview(self._block)
        while left:
            piece = block[:left]
            self._digest.update(piece)
            left -= len(piece)
            yield piece

    @property
    def sha256(self) -> str:
        """Of what was sent."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Cost:
    """What a request has cost the server's processes: bytes written to the disk, bytes of memory."""

    written: int
    growth: dict[int, int]


class Measured:
    """A server with one worker, and a client that reads from the kernel what each upload cost."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.stored = server.folder / "uploads"
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=100)
        self._connection.request("GET", "/csrf-token")
        answer = self._connection.getresponse()
        self._headers = {
            "X-CSRFToken": json.loads(answer.read())["csrf_token"],
            "Cookie": answer.headers["Set-Cookie"].partition(";")[0],
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        # What is only imported or set up once is no cost of the upload that is measured.
        for _ in range(3):
            assert self.upload("warm.dat", Content(8 * MIB))[0] == 201

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def upload_at_once(self, contents: list[Content]) -> tuple[list[tuple[int, str]], Cost]:
        """Post each on a connection of its own, all at the same time; status and body of each, and the cost of all."""

        def post(content: Content) -> tuple[int, str]:
            body, length = self._form("at-once.dat", content, {})
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=100)
            with closing(connection):
                connection.request("POST", "/upload", body, {**self._headers, "Content-Length": str(length)})
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

        with ThreadPoolExecutor(len(contents)) as pool:
            return self._cost_of(lambda: list(pool.map(post, contents)))

    def upload(
        self, filename: str, content: Content, fields: Mapping[str, object] | None = None
    ) -> tuple[int, str, Cost]:
        """Post one part behind these fields; status, body and cost."""
        body, length = self._form(filename, content, fields or {})
        answer, cost = self._measure("POST", "/upload", body, length, self._headers)
        return answer.status, answer.read().decode(), cost

    def _form(
        self, filename: str, content: Content, fields: Mapping[str, object]
    ) -> tuple[Iterator[bytes | memoryview], int]:
        """A form of one part, and its length."""
        head = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ).encode()
        head += (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()

        def body() -> Iterator[bytes | memoryview]:
            yield head
            yield from content
            yield tail

        return body(), len(head) + content.size + len(tail)

    def upload_batch(self, files: list[tuple[str, bytes]]) -> Cost:
        """Post these in one request; all are stored. The cost."""
        body = b"".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file[{n}]"; filename="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for n, (name, content) in enumerate(files)
        )
        body += f"--{BOUNDARY}--\r\n".encode()
        answer, cost = self._measure("POST", "/upload", iter([body]), len(body), self._headers)
        assert answer.status == 201, answer.read()
        answer.read()
        return cost

    def upload_by_tus(self, filename: str, content: Content) -> tuple[str, Cost]:
        """Begin an upload of the tus protocol, and send all of it in one request; its address, and the cost of that."""
        name = base64.b64encode(filename.encode()).decode()
        told = {"Upload-Length": str(content.size), "Upload-Metadata": f"filename {name}"}
        usual = {"Tus-Resumable": "1.0.0", "Cookie": self._headers["Cookie"]}
        self._connection.request("POST", "/tus/", headers={**usual, **told})
        answer = self._connection.getresponse()
        assert answer.status == 201, answer.read()
        answer.read()
        address = answer.headers["Location"]
        bytes_ = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        answer, cost = self._measure("PATCH", address, iter(content), content.size, {**usual, **bytes_})
        assert answer.status == 204, answer.read()
        answer.read()
        return address, cost

    def get(self, path: str) -> Any:
        """JSON from the server."""
        self._connection.request("GET", path, headers={"Cookie": self._headers["Cookie"]})
        return json.loads(self._connection.getresponse().read())

    def _measure(
        self,
        method: str,
        path: str,
        body: Iterator[bytes | memoryview],
        length: int,
        headers: Mapping[str, str],
    ) -> tuple[http.client.HTTPResponse, Cost]:
        def send() -> http.client.HTTPResponse:
            self._connection.request(method, path, body, {**headers, "Content-Length": str(length)})
            # Its head comes when all is done.
            return self._connection.getresponse()

        return self._cost_of(send)

    def _cost_of(self, send: Callable[[], T]) -> tuple[T, Cost]:
        pids = self.server.pids()
        written, before = self._written(pids), {}
        for pid in pids:
            # From here on the kernel's peak is the peak of this upload.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            before[pid] = kernel_count(pid, "status", "VmRSS") * 1024
        sent = send()
        growth = {pid: kernel_count(pid, "status", "VmHWM") * 1024 - before[pid] for pid in pids}
        return sent, Cost(self._written(pids) - written, growth)

    def _written(self, pids: list[int]) -> int:
        return sum(kernel_count(pid, "io", "write_bytes") for pid in pids)


def kernel_count(pid: int, file: str, label: str) -> int:
    """A number that the kernel keeps of a process."""
    match = re.search(rf"^{label}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    assert match, f"the kernel does not tell {label}"
    return int(match[1])


@pytest.fixture
def measured(tmp_path: Path, live_server: Callable[..., LiveServer]) -> Iterator[Callable[..., Measured]]:
    """Start the server and its client: `measured(FLASK_UPLOADS_MAX_FILE_SIZE="64 MiB")`."""
    file_system = subprocess.run(
        ["stat", "--file-system", "--format=%T", tmp_path], capture_output=True, text=True, check=True
    ).stdout.strip()
    if file_system == "tmpfs":
        missing(
            "Temporary files are in memory here, where nothing is written: set TMPDIR to a folder on a disk."
        )
    with ExitStack() as stack:

        def start(**env: str) -> Measured:
            server = live_server(tmp_path, workers=1, env={"FLASK_UPLOADS_TYPES": "dat", **env})
            # Gigabytes are not left lying until the next run.
            stack.callback(shutil.rmtree, server.folder / "uploads")
            return stack.enter_context(Measured(server))

        yield start


def test_two_gigabytes_are_written_once_and_memory_stays_flat(measured: Callable[..., Measured]) -> None:
    server = measured()
    content = Content(2048 * MIB)

    status, text, cost = server.upload("big.dat", content)

    assert status == 201, text
    file: dict[str, Any] = json.loads(text)["files"][0]
    assert (file["size"], file["sha256"]) == (content.size, content.sha256)
    with (server.stored / file["key"]).open("rb") as stored:
        assert hashlib.file_digest(stored, "sha256").hexdigest() == content.sha256
    print(f"written {cost.written / content.size:.4f} per byte, memory grew by {cost.growth}")
    assert 1.0 <= cost.written / content.size <= 1.05
    assert max(cost.growth.values()) <= 32 * MIB


def test_a_refused_gigabyte_is_not_written(measured: Callable[..., Measured]) -> None:
    server = measured()
    content = Content(1024 * MIB)
    stored = sorted(server.stored.rglob("*"))

    status, text, cost = server.upload("big.exe", content)

    assert status == 415, text
    assert ".exe files are not accepted" in text
    print(f"written {cost.written} bytes, memory grew by {cost.growth}")
    assert cost.written <= MIB
    assert max(cost.growth.values()) <= 32 * MIB
    assert sorted(server.stored.rglob("*")) == stored


def test_a_part_that_grows_over_its_limit_is_cut_off(measured: Callable[..., Measured]) -> None:
    server = measured(FLASK_UPLOADS_MAX_FILE_SIZE="64 MiB", FLASK_MAX_CONTENT_LENGTH="2 GiB")
    stored = sorted(server.stored.rglob("*"))

    status, text, cost = server.upload("big.dat", Content(1024 * MIB))

    assert status == 413, text
    assert "1.1 GB" in text and "67.1 MB" in text
    print(f"written {cost.written} bytes, memory grew by {cost.growth}")
    assert cost.written <= 66 * MIB
    assert max(cost.growth.values()) <= 32 * MIB
    assert sorted(server.stored.rglob("*")) == stored


def chunk_fields(uuid: str, index: int, *, total: int, size: int) -> dict[str, object]:
    """Dropzone's fields of one chunk."""
    return {
        "dzuuid": uuid,
        "dzchunkindex": index,
        "dztotalfilesize": total,
        "dzchunksize": size,
        "dztotalchunkcount": -(-total // size),
        "dzchunkbyteoffset": index * size,
    }


def test_a_gigabyte_in_chunks_is_written_once_and_memory_stays_flat(
    measured: Callable[..., Measured],
) -> None:
    server = measured()
    size, count = 16 * MIB, 64
    whole, written, growth = hashlib.sha256(), 0, 0
    for index in range(count):
        content = Content(size)
        status, text, cost = server.upload(
            "big.dat", content, chunk_fields("u", index, total=size * count, size=size)
        )
        assert status == (201 if index == count - 1 else 202), text
        for piece in content:
            whole.update(piece)
        written += cost.written
        growth = max(growth, *cost.growth.values())
    file: dict[str, Any] = json.loads(text)["files"][0]
    assert (file["size"], file["sha256"]) == (size * count, whole.hexdigest())
    print(f"written {written / file['size']:.4f} per byte, memory grew by {growth}")
    assert 1.0 <= written / file["size"] <= 1.05
    assert growth <= 32 * MIB


def test_a_gigabyte_by_tus_is_written_once_and_memory_stays_flat(measured: Callable[..., Measured]) -> None:
    server = measured()
    server.upload_by_tus("warm.dat", Content(24 * MIB))
    content = Content(1024 * MIB)
    address, cost = server.upload_by_tus("big.dat", content)
    file: dict[str, Any] = server.get(f"/uploads/{address.rpartition('/')[2]}")["file"]
    assert (file["size"], file["sha256"]) == (content.size, content.sha256)
    print(f"written {cost.written / content.size:.4f} per byte, memory grew by {cost.growth}")
    assert 1.0 <= cost.written / content.size <= 1.05
    assert max(cost.growth.values()) <= 32 * MIB


def test_chunks_beyond_four_gigabytes_lie_where_they_belong(measured: Callable[..., Measured]) -> None:
    """Of a file of 5 GiB a few chunks come; the rest stays a hole."""
    server = measured(FLASK_UPLOADS_MAX_FILE_SIZE="6 GiB")
    size, total = MIB, 5 * 1024 * MIB
    sent: dict[int, Content] = {}
    for index in (0, 4095, 4096, 5119, 5118):
        sent[index] = Content(size)
        status, text, _ = server.upload(
            "big.dat", sent[index], chunk_fields("sparse", index, total=total, size=size)
        )
        assert status == 202, text
    [staged] = (server.stored / ".staging").glob("*.chunks")
    assert staged.stat().st_size == total
    assert staged.stat().st_blocks * 512 <= 6 * MIB
    with staged.open("rb") as file:
        for index, content in sent.items():
            file.seek(index * size)
            assert hashlib.sha256(file.read(size)).hexdigest() == content.sha256


def test_five_gigabytes_of_two_chunks_that_meet_beyond_four_are_one_file(
    measured: Callable[..., Measured],
) -> None:
    """The first chunk is large, so that the second begins past 4 GiB; the file is committed and served."""
    server = measured(FLASK_UPLOADS_MAX_FILE_SIZE="6 GiB", FLASK_MAX_CONTENT_LENGTH="6 GiB")
    size, total = 4096 * MIB + 4096, 5 * 1024 * MIB
    contents = [Content(size), Content(total - size)]
    for index in (1, 0):
        status, text, cost = server.upload(
            "big.dat", contents[index], chunk_fields("whole", index, total=total, size=size)
        )
    assert status == 201, text
    file: dict[str, Any] = json.loads(text)["files"][0]
    whole = hashlib.sha256()
    for content in contents:
        for piece in content:
            whole.update(piece)
    assert (file["size"], file["sha256"]) == (total, whole.hexdigest())
    assert max(cost.growth.values()) <= 32 * MIB


def test_small_files_are_written_once_with_their_records(measured: Callable[..., Measured]) -> None:
    """A file takes whole blocks of the disk, a record some pages of the database's log."""
    server = measured()
    for parts, size, batches, most in ((5, MIB, 10, 1.05), (10, 10 << 10, 30, 2.5)):
        costs = [
            server.upload_batch([(f"{size} {batch} {n}.dat", os.urandom(size)) for n in range(parts)])
            for batch in range(batches)
        ]
        written = sum(cost.written for cost in costs) / (batches * parts * size)
        print(f"{size} bytes each: written {written:.4f} per byte")
        assert 1.0 <= written <= most


def test_thirty_two_uploads_at_once_take_little_memory(measured: Callable[..., Measured]) -> None:
    server = measured()
    # Threads and their connections to the database are kept.
    server.upload_at_once([Content(1000) for _ in range(64)])
    contents = [Content(16 * MIB) for _ in range(32)]
    answers, cost = server.upload_at_once(contents)
    assert [answer[0] for answer in answers] == [201] * 32
    digests = {json.loads(text)["files"][0]["sha256"] for _, text in answers}
    assert digests == {content.sha256 for content in contents}
    print(f"memory grew by {cost.growth}")
    # 13 to 18 MiB, as threads happen to meet; a mebibyte for each piece in each thread would be 110.
    assert max(cost.growth.values()) <= 20 * MIB
