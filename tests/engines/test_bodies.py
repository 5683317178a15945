"""The bytes stored are the bytes sent, whichever server hands them over and however they came."""

import hashlib
import json
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from engines.fleet import Engine
from engines.wire import Client, Visitor, form
from support import require


def noise(seed: int, size: int) -> bytes:
    """Bytes that repeat in every run, and end like the line that ends a form."""
    return random.Random(seed).randbytes(size)[:-4] + b"\r\n-\r" if size >= 4 else b"\r" * size


def assert_stored(engine: Engine, visitor: Visitor, file: dict[str, Any], data: bytes) -> None:
    assert file["size"] == len(data)
    assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert Path(engine.folder, "uploads", file["key"]).read_bytes() == data
    assert visitor.fetch(file["url"]) == data


LENGTHS = [65_536 * k + more for k in (1, 2, 16) for more in (2, 3, 4)]


def test_files_are_whole_around_every_length_that_parsers_trip_over(engine: Engine) -> None:
    visitor = engine.visitor()
    for length in LENGTHS:
        first = noise(length, 1000)
        last = noise(length, length - len(form([("first.bin", first), ("last.bin", b"")])))
        body = form([("first.bin", first), ("last.bin", last)])
        assert len(body) == length
        files = visitor.send(body).files
        for file, data in zip(files, [first, last], strict=True):
            assert_stored(engine, visitor, file, data)


@pytest.mark.parametrize("size", [1, 7, 65_539])
def test_a_form_may_come_in_chunks_of_any_size(engine: Engine, size: int) -> None:
    visitor = engine.visitor()
    sent = [noise(size, 300 * size // (1 + size // 1000)), b"", noise(2, 1000)]
    with Client(engine.door) as client:
        client.send_head(visitor.headers(transfer_encoding="chunked"))
        client.send_in_chunks(form((f"{n}.bin", data) for n, data in enumerate(sent)), size=size)
        files = client.read().files
    for file, data in zip(files, sent, strict=True):
        assert_stored(engine, visitor, file, data)


CURL = """
token=$(curl -sc jar http://127.0.0.1:5000/csrf-token | cut -d'"' -f4)
curl -sb jar -H "X-CSRFToken: $token" -F 'file[0]=@a.txt' -F 'file[1]=@b.txt' http://127.0.0.1:5000/upload
"""

CURL_FOLDER = """
token=$(curl -sc jar http://127.0.0.1:5000/csrf-token | cut -d'"' -f4)
files=(photos/*)
curl -sb jar -H "X-CSRFToken: $token" "${files[@]/#/-Ffile=@}" http://127.0.0.1:5000/upload
"""


def shell(engine: Engine, script: str, folder: Path) -> str:
    """What these lines print when typed in `folder`."""
    require("curl")
    done = subprocess.run(
        [require("bash"), "-euc", script.replace("http://127.0.0.1:5000", engine.door.url)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_two_lines_of_curl_upload_two_files(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "b.txt").write_text("beta")
    answer = json.loads(shell(engine, CURL, tmp_path))
    assert answer["success"] is True
    assert [file["filename"] for file in answer["files"]] == ["a.txt", "b.txt"]


def test_curl_uploads_a_folder_of_ten_files_as_one_batch(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    sent = {f"{n}.bin": noise(n, 20_000 * n) for n in range(10)}
    for name, data in sent.items():
        (tmp_path / "photos" / name).write_bytes(data)
    files = json.loads(shell(engine, CURL_FOLDER, tmp_path))["files"]
    assert [file["filename"] for file in files] == [*sent]
    for file in files:
        assert Path(engine.folder, "uploads", file["key"]).read_bytes() == sent[file["filename"]]


def test_curl_may_send_a_batch_in_chunks(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.bin").write_bytes(noise(3, 3_000_000))
    (tmp_path / "photos" / "b.bin").write_bytes(noise(4, 100))
    in_chunks = CURL_FOLDER.replace("curl -sb jar", 'curl -sb jar -H "Transfer-Encoding: chunked"')
    files = json.loads(shell(engine, in_chunks, tmp_path))["files"]
    assert [file["sha256"] for file in files] == [
        hashlib.sha256(noise(3, 3_000_000)).hexdigest(),
        hashlib.sha256(noise(4, 100)).hexdigest(),
    ]


@pytest.mark.parametrize("name", ["granian", "gunicorn"])
def test_fifty_uploads_of_one_name_at_once_are_fifty_files(
    living: Callable[[str, str], Engine], name: str
) -> None:
    engine = living(name, "60 MB")
    visitor = engine.visitor()
    before = engine.inventory()
    together = Barrier(50)

    def upload(n: int) -> dict[str, Any]:
        together.wait()
        return visitor.upload([("image.bin", noise(n, 10_000 + n))]).files[0]

    with ThreadPoolExecutor(50) as pool:
        files = list(pool.map(upload, range(50)))
    assert len({file["key"] for file in files}) == 50
    assert len({file["id"] for file in files}) == 50
    for n, file in enumerate(files):
        assert file["filename"] == "image.bin"
        assert_stored(engine, visitor, file, noise(n, 10_000 + n))
    after = engine.inventory()
    assert not after.disagreements()
    assert len(after.records) == len(before.records) + 50
