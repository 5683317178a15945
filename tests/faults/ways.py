"""The ways in which a file comes in, and what a server that lacks something has to answer to each."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from engines.fleet import Engine, Inventory, wait_until
from engines.test_chunks_kill import chunk_form, count_of
from engines.wire import END, Answer, Client, Visitor, field, part
from webclient import untraced

from dropzone_app.errors import MESSAGES

Way = Callable[[Visitor, str, bytes], Answer]

CHUNK = 150_000


def in_a_batch(visitor: Visitor, uuid: str, data: bytes) -> Answer:
    """With a small neighbour."""
    uuids = field("uuid[0]", uuid) + field("uuid[1]", f"{uuid}-small")
    return visitor.send(
        uuids + part("file[0]", "a.bin", data) + part("file[1]", "small.bin", data[:50]) + END
    )


def in_chunks(visitor: Visitor, uuid: str, data: bytes) -> Answer:
    """Until one of them is refused."""
    for index in range(count_of(data, CHUNK)):
        answer = visitor.send(chunk_form(data, index, uuid=uuid, size=CHUNK))
        if answer.status >= 300:
            break
    return answer


def by_tus(visitor: Visitor, uuid: str, data: bytes) -> Answer:
    """In the request that begins it."""
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(data)),
        "Upload-Metadata": f"filename {b64encode(b'a.bin').decode()}",
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(len(data)),
        "Cookie": visitor.cookie,
    }
    with Client(visitor.server) as client:
        client.send_head(headers, "/tus/")
        client.send(data)
        return client.read()


WAYS: dict[str, Way] = {"batch": in_a_batch, "chunks": in_chunks, "tus": by_tus}


def assert_told(answer: Answer, code: str) -> None:
    """The answer is this row of the table, as a sentence."""
    message = MESSAGES[code]
    assert (answer.status, untraced(answer.text)) == (message.status, message.text), answer
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def kept(inventory: Inventory) -> dict[str, Any]:
    """What anybody can see, and what is half done; a file in chunks may wait for the rest of them."""
    left_over = {name for name in inventory.left_over if not name.endswith(".chunks")}
    return {**vars(inventory), "left_over": left_over}


def assert_heals(engine: Engine, way: Way, uuid: str, data: bytes) -> None:
    """The same upload again succeeds, and what could not be undone before is by then."""
    visitor = engine.visitor()
    assert way(visitor, uuid, data).status == 201

    def agrees() -> bool:
        # Each worker remembers what it could not undo until it stores something.
        visitor.upload([("more.bin", b"more")])
        inventory = engine.inventory()
        inventory.left_over = kept(inventory)["left_over"]
        return not inventory.disagreements()

    wait_until(agrees, "files and records that agree")
