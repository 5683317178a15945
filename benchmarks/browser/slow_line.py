"""A slow line on loopback: slow_line.py PORT [--rtt MS] [--up MBIT]; prints the port it listens on.

Every connection gets half the round trip in each direction, and one whole before its first byte, as a handshake
would; all share one line up. DevTools can slow a page down as well, but not the requests of its workers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import time


class Line:
    """So many megabits leave in a second, whoever sends them."""

    def __init__(self, mbit: float) -> None:
        self.rate = mbit * 125_000
        self.free_at = 0.0

    def take(self, count: int) -> float:
        """The moment at which the last of so many bytes has left."""
        now = time.monotonic()
        if not self.rate:
            return now
        self.free_at = max(self.free_at, now) + count / self.rate
        return self.free_at


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line, delay: float, start: float
) -> None:
    underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)

    async def arrive() -> None:
        while True:
            at, data = await underway.get()
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    async def leave() -> None:
        data = b"."
        while data:
            data = await reader.read(16_384)
            left = line.take(len(data))
            await asyncio.sleep(max(0.0, left - time.monotonic()))
            await underway.put((max(left, start) + delay, data))

    await asyncio.gather(arrive(), leave())


async def serve(port: int, rtt: float, up: float) -> None:
    lines, half = (Line(up), Line(0)), rtt / 2

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = time.monotonic() + rtt
        with contextlib.suppress(OSError):
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(carry(reader, their_writer, lines[0], half, start))
                    group.create_task(carry(their_reader, writer, lines[1], half, start))
            except* OSError:
                pass
            finally:
                their_writer.close()
        writer.close()

    listener = socket.socket()
    # So that the sender feels the line and not our buffers.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)
    listener.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(accept, sock=listener) as server:
        print(listener.getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--rtt", type=float, default=80, help="milliseconds")
    parser.add_argument("--up", type=float, default=20, help="Mbit/s")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.rtt / 1000, options.up))
