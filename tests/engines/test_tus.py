"""The tus protocol on each server, alone and behind nginx: its methods, its own status, and what a cut leaves."""

import hashlib
import os
from base64 import b64encode

from engines.fleet import Engine, wait_until
from engines.wire import Answer, Client, Visitor, tus_offset

DATA = os.urandom(3_000_000)
CUT = 2_000_000


def ask(visitor: Visitor, method: str, path: str, body: bytes = b"", **headers: object) -> Answer:
    with Client(visitor.server) as client:
        client.send_head(head(visitor, len(body), **headers), path, method)
        client.send(body)
        return client.read()


def head(visitor: Visitor, length: int, **headers: object) -> dict[str, str]:
    told = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    usual = {"Cookie": visitor.cookie, "Tus-Resumable": "1.0.0", "Content-Length": str(length)}
    return {**usual, **({"Content-Type": "application/offset+octet-stream"} if length else {}), **told}


def begun(visitor: Visitor) -> str:
    name = b64encode(b"big.bin").decode()
    answer = ask(visitor, "POST", "/tus/", Upload_Length=len(DATA), Upload_Metadata=f"filename {name}")
    assert answer.status == 201, answer
    return answer.headers["location"]


def test_what_came_before_a_cut_counts_and_the_rest_completes_it(engine: Engine) -> None:
    visitor = engine.visitor()
    path = begun(visitor)
    with Client(engine.door) as client:
        client.send_head(head(visitor, len(DATA), Upload_Offset=0), path, "PATCH")
        client.send(DATA[:CUT])
        client.half_close()
        # What collects a body before it hands it on has nothing to hand on.
        if engine.streams:
            wait_until(lambda: tus_offset(engine.door, path) > 0, "bytes that came to count")
    at = tus_offset(engine.door, path)
    if engine.streams:
        assert CUT - (1 << 20) <= at <= CUT
    wrong = f"sha1 {b64encode(hashlib.sha1(b'else').digest()).decode()}"
    refused = ask(visitor, "PATCH", path, DATA[at:], Upload_Offset=at, Upload_Checksum=wrong)
    assert (refused.status, refused.text) == (
        460,
        "What arrived is not what its checksum says; send it again.",
    )
    done = ask(visitor, "PATCH", path, DATA[at:], Upload_Offset=at)
    assert (done.status, done.headers["upload-offset"]) == (204, str(len(DATA)))
    assert visitor.fetch(done.headers["upload-file"]) == DATA
    assert not engine.inventory().disagreements()


def test_an_upload_is_terminated(engine: Engine) -> None:
    visitor = engine.visitor()
    path = begun(visitor)
    assert ask(visitor, "DELETE", path).status == 204
    gone = ask(visitor, "PATCH", path, b"x", Upload_Offset=0)
    assert (gone.status, gone.text) == (404, "There is no such upload here, or it is not yours.")
