"""People who upload and delete without a pause while the server is killed under them, and a book of what they were
told: whatever was acknowledged is looked for after each kill.
"""

import contextlib
import hashlib
import http.client
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from engines.fleet import Inventory, wait_until
from engines.test_chunks_kill import chunk_form, count_of
from engines.wire import END, Answer, Visitor, field, part
from support import LiveServer, runs

LOST = (OSError, http.client.HTTPException)
"""What a client sees of a server that dies."""

#: Few, so that most files have to be numbered.
NAMES = ("a.bin", "b.bin", "photo.bin")
WORKERS = 2


class Load:
    """Threads that upload batches and chunks and delete some of it, each until it is told that it is done.

    Who loses a connection asks again, as the page does: with the same uuid, so that nothing may come twice.
    """

    def __init__(self, server: LiveServer, *, seed: int, batches: int = 4, chunked: int = 2) -> None:
        self.server = server
        self.counts: Counter[str] = Counter()
        #: What is wrong, in words.
        self.losses: list[str] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        #: id → the file, as the server has acknowledged it.
        self._kept: dict[str, dict[str, object]] = {}
        self._unseen: set[str] = set()
        self._deleted: set[str] = set()
        #: Those that somebody has asked to delete, answered or not.
        self._leaving: set[str] = set()
        self._gate = threading.Event()
        self._over = False
        self._parked = 0
        self._visitor = Visitor(server)
        jobs = [self._send_batch] * batches + [self._send_chunks] * chunked
        self._threads = [
            threading.Thread(target=self._work, args=(job, random.Random(seed * 100 + number)), daemon=True)
            for number, job in enumerate(jobs)
        ]
        for thread in self._threads:
            thread.start()

    # ---- the conductor's side

    def run(self) -> None:
        """Let everybody go on."""
        self._gate.set()

    def pause(self) -> None:
        """Wait until nobody is asking anything: each has its answer, or has lost its connection."""
        self._gate.clear()
        alive = [thread for thread in self._threads if thread.is_alive()]
        wait_until(lambda: self._parked >= len(alive), "everybody to wait")

    def finish(self) -> None:
        """Let everybody be told of what is begun, and of no more; then look at everything once more."""
        self._over = True
        self._gate.set()
        for thread in self._threads:
            thread.join(120)
            if thread.is_alive():
                self._lose("somebody is never told what became of a file")
        self._unseen = {*self._kept}
        self.look()
        ids = {id for id, *_ in self._rows()}
        if unknown := ids - self._kept.keys():
            self._lose(f"{len(unknown)} files are stored that nobody was told of")

    def wait_for(self, more: int) -> None:
        """Wait until so many more files are acknowledged."""
        wanted = self.counts["files"] + more
        wait_until(lambda: self.counts["files"] >= wanted or bool(self.losses), f"{more} more files")

    def look(self) -> None:
        """Compare what lies in the folder with what was told, while nobody asks anything."""
        inventory = Inventory(self.server.folder)
        staged = inventory.left_over - {f".staging/{handle}.chunks" for handle in self._handles()}
        inventory.left_over = {name for name in staged if not name.endswith(".chunks")}
        for what, keys in inventory.disagreements().items():
            self._lose(f"{what}: {keys}")
        rows = {id: (key, size, digest) for id, key, size, digest in self._rows()}
        for id in self._kept.keys() - self._leaving:
            file = self._kept[id]
            if rows.get(id) != (file["key"], file["size"], file["sha256"]):
                self._lose(f"{file['key']} was acknowledged, and its record is {rows.get(id)}")
            elif id in self._unseen and self._digest(str(file["key"])) != file["sha256"]:
                self._lose(f"{file['key']} was acknowledged, and has other bytes")
        if back := self._deleted & rows.keys():
            self._lose(f"{len(back)} files were deleted, and are there")
        self._unseen = set()

    def _lose(self, what: str) -> None:
        with self._lock:
            self.losses.append(what)

    def _rows(self) -> list[tuple[str, str, int, str]]:
        return self._ask("SELECT id, key, size, sha256 FROM files WHERE state = 'stored'")

    def _handles(self) -> list[str]:
        return [handle for (handle,) in self._ask("SELECT handle FROM uploads")]

    def _ask(self, query: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.server.folder / "instance" / "app.sqlite")) as database:
            return database.execute(query).fetchall()

    def _digest(self, key: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return hashlib.sha256(Path(self.server.folder, "uploads", key).read_bytes()).hexdigest()
        return ""

    # ---- the people's side

    def _work(self, job: Callable[[random.Random], list[dict[str, object]]], dice: random.Random) -> None:
        try:
            while True:
                self._wait()
                if self._over:
                    return
                files = job(dice)
                if dice.random() < 0.3:
                    self._delete(dice.choice(files))
        except BaseException as error:
            self._lose(f"somebody gives up: {error!r}")
            raise

    def _wait(self) -> None:
        if not self._gate.is_set():
            with self._lock:
                self._parked += 1
            self._gate.wait()
            with self._lock:
                self._parked -= 1

    def _ask_until_told(self, ask: Callable[[], Answer], *wanted: int) -> Answer:
        while True:
            self._wait()
            with self._lock:
                self.counts["requests"] += 1
            try:
                answer = ask()
            except LOST as error:
                with self._lock:
                    self.counts["connections lost"] += 1
                if isinstance(error, ConnectionRefusedError):
                    time.sleep(0.05)
                continue
            if answer.status in wanted:
                return answer
            if answer.headers.get("upload-error") == "uuid_busy" or "uuid_busy" in answer.headers.get(
                "upload-codes", ""
            ):
                # Who had it was killed, and nobody has seen that yet.
                with self._lock:
                    self.counts["told to wait"] += 1
                continue
            raise AssertionError(f"{answer.status}: {answer.text}")

    def _note(self, answer: Answer, sent: list[bytes]) -> list[dict[str, object]]:
        files = answer.files
        for file, data in zip(files, sent, strict=True):
            if (file["size"], file["sha256"]) != (len(data), hashlib.sha256(data).hexdigest()):
                self._lose(f"{file['key']} is acknowledged as something else than was sent")
        with self._lock:
            self.counts["files"] += len(files)
            self.counts["bytes"] += sum(map(len, sent))
            self._kept |= {file["id"]: file for file in files}
            self._unseen |= {file["id"] for file in files}
        return files

    def _send_batch(self, dice: random.Random) -> list[dict[str, object]]:
        sizes = [
            dice.choice([0, 1, 700, 5_000, 40_000, 300_000, 1_500_000]) for _ in range(dice.randint(1, 6))
        ]
        sent = [dice.randbytes(size) for size in sizes]
        uuids = b"".join(field(f"uuid[{n}]", dice.randbytes(16).hex()) for n in range(len(sent)))
        parts = b"".join(part(f"file[{n}]", dice.choice(NAMES), data) for n, data in enumerate(sent))
        body = uuids + parts + END
        return self._note(self._ask_until_told(lambda: self._visitor.send(body), 201), sent)

    def _send_chunks(self, dice: random.Random) -> list[dict[str, object]]:
        size, uuid = dice.choice([10_000, 100_000, 400_000]), dice.randbytes(16).hex()
        data = dice.randbytes(size * dice.randint(2, 6) - dice.randint(0, 9_000))
        order = dice.sample(range(count_of(data, size)), count_of(data, size))
        for index in order:
            body = chunk_form(data, index, uuid=uuid, size=size)
            answer = self._ask_until_told(lambda body=body: self._visitor.send(body), 201, 202)  # type: ignore[misc]
        return self._note(answer, [data])

    def _delete(self, file: dict[str, object]) -> None:
        id = str(file["id"])
        self._leaving.add(id)
        self._ask_until_told(lambda: self._visitor.delete(f"/files/{id}"), 204, 404)
        with self._lock:
            self.counts["deleted"] += 1
            self._deleted.add(id)

    # ---- the kills

    def kill_all(self) -> None:
        """The server with all its workers, at once: as the machine's end does. Best in the middle of a commit."""
        for _ in range(1000):
            if self._ask("SELECT 1 FROM files WHERE state = 'committing' LIMIT 1"):
                break
        self.server.kill()
        self.pause()
        self.counts["commits undone"] += len(Inventory(self.server.folder, after_a_crash=True).unfinished)
        self.server.start()

    def kill_master(self) -> None:
        """The server alone: its workers have to find out."""
        pids = self.server.pids()
        os.kill(pids[0], signal.SIGKILL)
        self.pause()
        wait_until(lambda: not any(map(runs, pids)), "the workers to follow their parent")
        self.server.kill()
        self.server.start()

    def kill_worker(self) -> None:
        """One of the workers: the server replaces it."""
        workers = self.server.pids()[1:]
        victim = self._random.choice(workers)
        os.kill(victim, signal.SIGKILL)
        self.pause()
        wait_until(lambda: len({*self.server.pids()[1:]} - {victim}) >= WORKERS, "another worker")
        for begun in ("files WHERE state <> 'stored'", "uploads WHERE state = 'committing'"):
            query = f"SELECT 1 FROM {begun}"
            wait_until(lambda query=query: not self._ask(query), "what it had begun to be undone")  # type: ignore[misc]

    def stop(self) -> None:
        """The server, by the word that asks it to end."""
        self.server.stop()
        self.pause()
        self.server.start()

    def kill(self, how: str) -> None:
        """Let the load run for a random while, kill, wait for what comes after, and look."""
        self.run()
        self.wait_for(self._random.randint(1, 40))
        time.sleep(self._random.uniform(0, 0.2))
        getattr(self, how)()
        self.counts[how] += 1
        self.look()

    @staticmethod
    def kills(number: int, seed: int) -> Iterator[str]:
        """So many kills of all kinds, in a random order.

        Of two workers that die within seconds granian makes an end of itself; so between two stands another kind.
        """
        dice = random.Random(seed)
        last = ""
        for _ in range(number):
            last = dice.choice([how for how in ("kill_worker", "kill_master", "kill_all") if how != last])
            yield last
